import subprocess
import sys

import pytest
import torch

from interlace import methods
from interlace.backbone.dual import DualEncoder
from interlace.backbone.hollow import hollow
from tests import models

SMALL = {"n_tokens": 2, "heads": 5}


@pytest.mark.parametrize("kind", models.SPECS)
def test_a_hollow_model_has_the_shapes_of_a_real_one(kind):
    real = models.tiny(kind)
    with hollow():
        empty = DualEncoder(real.spec)
    assert all(tensor.is_meta for tensor in empty.state_dict().values())
    shapes = [
        {name: tensor.shape for name, tensor in clip.state_dict().items()} for clip in (real, empty)
    ]
    assert shapes[0] == shapes[1]
    assert not any(parameter.requires_grad for parameter in empty.parameters())


@pytest.mark.parametrize("name", methods.available())
def test_counts_are_those_of_the_method(name):
    clip = models.tiny()
    small = {k: v for k, v in SMALL.items() if k in methods.parameters(name)}
    built = sum(one.numel() for one in methods.create(name, clip, **small).parameters())
    assert methods.count_parameters(name, clip.spec, **small) == built


def test_outside_of_the_context_nothing_changes():
    with hollow():
        pass
    assert torch.zeros(2).tolist() == [0.0, 0.0]
    assert not torch.randn(2).is_meta


def test_torch_compiler_is_not_imported_for_it():
    code = (
        "import sys\n"
        "from interlace.backbone.dual import DualEncoder\n"
        "from interlace.backbone.hollow import hollow\n"
        "from interlace.backbone.spec import VIT_B_16\n"
        "with hollow():\n    DualEncoder(VIT_B_16)\n"
        "print('torch._dynamo' in sys.modules)"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "False"
