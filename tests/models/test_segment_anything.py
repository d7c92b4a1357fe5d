"""Checkpoints of the package `segment_anything`, without the package and without torchvision."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from safetensors.torch import save_file  # noqa: E402

from visprog.models.sam.hub import SEGMENT_ANYTHING_KEYS  # noqa: E402
from visprog.models.sam.model import Sam, SamConfig  # noqa: E402


@pytest.fixture(scope="module")
def sam() -> Sam:
    torch.manual_seed(0)
    config = SamConfig(
        image_size=64, patch=8, dim=24, layers=3, heads=3, hidden=40, window_size=3, global_attn_indexes=(0, 2),
        width=32, mask_channels=8, decoder_layers=1, decoder_hidden=20, num_multimask_outputs=2, iou_head_depth=4,
        iou_head_hidden_dim=12,
    )  # fmt: skip
    return Sam(config)


@pytest.mark.parametrize("name", ["sam.pth", "sam.safetensors"])
def test_sizes_and_weights_are_read_from_the_file(sam: Sam, name: str, tmp_path: Path) -> None:
    state = {k: v.contiguous() for k, v in SEGMENT_ANYTHING_KEYS.to_theirs(sam.state_dict()).items()}
    (torch.save if name.endswith(".pth") else save_file)(state, tmp_path / name)
    again = Sam.from_segment_anything(tmp_path / name)
    assert again.config == sam.config
    assert all(torch.equal(value, sam.state_dict()[key]) for key, value in again.state_dict().items())
    assert (
        Sam.from_segment_anything(tmp_path / name, dtype="bfloat16").mask_decoder.iou_token.dtype
        == torch.bfloat16
    )


class Trap:
    """Runs code when it is unpickled."""

    def __reduce__(self) -> Any:
        return print, ("unpickled",)


def test_other_files_are_refused_and_no_object_is_unpickled(
    sam: Sam, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    state = SEGMENT_ANYTHING_KEYS.to_theirs(sam.state_dict())
    lacking = {k: v for k, v in state.items() if k != "image_encoder.pos_embed"}
    for content, message in (
        ({"weight": Trap()}, "is no file of tensors"),
        ([1, 2], "holds no tensors by name"),
        ({"a": 1}, "holds no tensors by name"),
        (
            {"weight": torch.zeros(2)},
            "is no checkpoint of segment_anything: it lacks 'image_encoder.patch_embed",
        ),
        (lacking, "it lacks 'image_encoder.pos_embed'"),
        (state | {"surplus": torch.zeros(1)}, "unexpected key surplus"),
    ):
        torch.save(content, tmp_path / "other.pth")
        with pytest.raises(ValueError, match=message):
            Sam.from_segment_anything(tmp_path / "other.pth")
    (tmp_path / "empty.pth").write_bytes(b"")
    with pytest.raises(ValueError, match="is no file of tensors"):
        Sam.from_segment_anything(tmp_path / "empty.pth")
    with pytest.raises(ValueError, match="there is no file"):
        Sam.from_segment_anything(tmp_path / "nowhere.pth")
    assert "unpickled" not in capsys.readouterr().out
