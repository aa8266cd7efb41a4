"""Engines: processes that are killed, nodes that die, and the same results everywhere."""

from __future__ import annotations

import threading
import time

import psutil
import pytest

from interlace.experiments.engines import make_engine
from interlace.experiments.engines.local import TRIES, Local
from interlace.experiments.grid import list_cells, run_grid
from interlace.experiments.store import Store


@pytest.fixture(scope="module")
def specs():
    return list_cells(
        "few_shot", ["picto/activities"], ["linear_probe"], [1], [1, 2], settings={"epochs": 3}
    )


@pytest.fixture(scope="module")
def local(specs, tmp_path_factory):
    """The records of the cells, in two processes."""
    return run_grid(specs, Store(tmp_path_factory.mktemp("local")), Local(2))


def workers():
    """The processes of this one that run cells."""
    found = []
    for process in psutil.Process().children():
        try:
            if any("spawn_main" in part for part in process.cmdline()):
                found.append(process)
        except psutil.Error:
            continue
    return found


def kill_workers(times):
    """Kill the worker processes that appear, one after the other, in a thread."""

    def work():
        killed = set()
        end = time.monotonic() + 60
        while len(killed) < times and time.monotonic() < end:
            for process in workers():
                if process.pid not in killed:
                    process.kill()
                    killed.add(process.pid)
            time.sleep(0.05)

    thread = threading.Thread(target=work)
    thread.start()
    return thread


def test_local_runs_all_cells(specs, local):
    assert [record["id"] for record in local] == [spec.id for spec in specs]
    assert {record["status"] for record in local} == {"done"}


def test_a_cell_whose_process_is_killed_is_run_again(specs, local, tmp_path):
    thread = kill_workers(1)
    found = run_grid(specs[:2], Store(tmp_path), Local(1))
    thread.join()
    assert [r["metrics"] for r in found] == [r["metrics"] for r in local[:2]]


def test_a_cell_that_is_always_killed_is_recorded(specs, tmp_path):
    thread = kill_workers(TRIES)
    found = run_grid(specs[:2], Store(tmp_path), Local(1))
    thread.join()
    assert [record["status"] for record in found] == ["failed", "done"]
    assert found[0]["error"]["type"] == "Killed"


def test_a_ray_cluster_loses_a_node_and_no_cell(specs, local, tmp_path, monkeypatch):
    ray = pytest.importorskip("ray")
    from ray.cluster_utils import Cluster

    from interlace.experiments.engines.ray import Ray

    cluster = Cluster(
        initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False}
    )
    try:
        lost = cluster.add_node(num_cpus=1)
        monkeypatch.setenv("RAY_ADDRESS", cluster.address)
        engine = Ray()
        assert engine.workers == 2
        done = []

        def finished(record):
            if not done:  # in the middle: the other node is at work
                cluster.remove_node(lost, allow_graceful=False)
            done.append(record["id"])

        found = run_grid(specs, Store(tmp_path), engine, finished=finished)
        assert sorted(done) == sorted(spec.id for spec in specs)
        # the head learns of it by a heartbeat that does not come
        end = time.monotonic() + 60
        while len([node for node in ray.nodes() if node["Alive"]]) > 1:
            assert time.monotonic() < end, "the node was not lost"
            time.sleep(0.5)
    finally:
        ray.shutdown()
        cluster.shutdown()
    assert [record["status"] for record in found] == ["done"] * len(specs)
    assert [r["metrics"] for r in found] == [r["metrics"] for r in local]
    assert [r["split_hash"] for r in found] == [r["split_hash"] for r in local]


def test_engines_have_names():
    engine = make_engine("local", 3)
    assert isinstance(engine, Local) and engine.workers == 3
