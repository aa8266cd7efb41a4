"""A gallery in object storage: an S3 server of this machine takes the place of a folder."""

from __future__ import annotations

import boto3
import numpy as np
import pytest
from moto.server import ThreadedMotoServer

from interlace import Gallery, InterlaceError

KEYS = {"aws_access_key_id": "key", "aws_secret_access_key": "secret"}


@pytest.fixture(scope="module")
def storage():
    """LanceDB's options for a server that has one bucket, ``bucket``."""
    server = ThreadedMotoServer("127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    where = f"http://{host}:{port}"
    client = boto3.client("s3", endpoint_url=where, region_name="us-east-1", **KEYS)
    client.create_bucket(Bucket="bucket")
    yield {"endpoint": where, "allow_http": "true", "region": "us-east-1", **KEYS}
    server.stop()


def test_it_is_built_kept_up_to_date_and_searched_as_in_a_folder(photos, tmp_path, clip, storage):
    where = "s3://bucket/gallery"
    Gallery.build(where, photos, clip, storage_options=storage)
    (photos / "rocket" / "0.webp").unlink()
    (photos / "rocket" / "1.webp").rename(photos / "rocket" / "renamed.webp")
    report = Gallery.build(where, photos, storage_options=storage).report
    assert (report.added, report.reused, report.removed, report.unchanged) == (1, 1, 2, 11)
    local = Gallery.build(tmp_path / "gallery", photos, clip)
    there = Gallery.open(where, storage_options=storage)
    assert there.complete and there.model == local.model and len(there) == len(local) == 12
    for query in ("a rocket", photos / "banana" / "0.webp"):
        expected, found = local.query(query, k=12), there.query(query, k=12)
        assert [hit.path for hit in found] == [hit.path for hit in expected]
        np.testing.assert_allclose(
            [hit.score for hit in found], [hit.score for hit in expected], atol=1e-5
        )
    assert there.sheet("a rocket", there.query("a rocket", k=3)).size[0] > 0


@pytest.mark.parametrize("where", ["s3://bucket/nothing", "s3://no-bucket/gallery"])
def test_a_place_without_a_gallery_is_named(where, storage):
    with pytest.raises(InterlaceError, match=f"{where} holds no gallery"):
        Gallery.open(where, storage_options=storage)
