"""Every shipped recipe for a few steps, small, in however many processes it is started with: see test_processes.py.

python -m tests.training.recipes FOLDER BATCH_SIZE
"""

from __future__ import annotations

import json
import sys
import zipfile
from io import BytesIO
from pathlib import Path

import numpy as np
import PIL.Image
import torch
from accelerate import PartialState

from visprog.models.llama import KEYS, Llama, LlamaConfig
from visprog.models.preprocess.tokenizer import word_tokenizer
from visprog.training.distributed.failures import leave
from visprog.training.fit import fit
from visprog.training.recipe import load_recipe

STEPS = 3
ENCODER = {"size": 32, "dim": 16, "layers": 1, "heads": 2, "hidden": 64}
TEXT = {"dim": 16, "layers": 1, "heads": 2, "hidden": 64}


def under(prefix: str, keys: dict[str, object]) -> list[str]:
    """Overrides of keys below another."""
    return [f"{prefix}.{name}={value}" for name, value in keys.items()]


def image_and_text(project: int) -> list[str]:
    """What makes a model with an image encoder and a text encoder small."""
    return [
        *under("model.image_encoder", {**ENCODER, "project": project, "stem": "null"}),
        *under("model.text_encoder", {**TEXT, "project": project}),
    ]


CLIP = image_and_text(8)
SIGLIP = [
    "loss=sigmoid",
    "pad_texts=true",
    f"model={{type: siglip, image_encoder: {json.dumps({**ENCODER, 'patch': 8})}, "
    f"text_encoder: {json.dumps({**TEXT, 'project': 16})}}}",
]
OWL = image_and_text(16)
COCA = [
    *under("model.image_encoder", {**ENCODER, "stem": "null"}),
    *under("model", {
        "dim": 16, "unimodal_layers": 1, "multimodal_layers": 1, "heads": 2, "hidden": 64, "queries": 4,
        "pool_heads": 2, "project": 16,
    }),
]  # fmt: skip
DIFFUSION = [
    *under(
        "model.network",
        {"size": 32, "patch": 8, "dim": 16, "layers": 1, "heads": 2, "hidden": 32, "context": 16},
    ),
    *under("model.text_encoder", TEXT),
]
ALBEF = [
    *under("model.image_encoder", {**ENCODER, "stem": "null"}),
    *under("model.text_encoder", TEXT),
    *under("model", {"fusion_layers": 1, "project": 8}),
    "distillation.queue=24",
    "init_from=null",
]
BLIP2 = [
    *under("model.image_encoder", {**ENCODER, "stem": "null"}),
    *under("model.qformer", {"queries": 4, "dim": 16, "layers": 2, "heads": 2, "hidden": 64}),
    "model.project=8",
    "init_from=null",
    "candidates=2",
]
LLAVA = ["model={type: llava, language_model: {dim: 16, layers: 1, heads: 2, hidden: 32}, feature_layers: [-1], "
         "merge: 2}", "init_from={image_encoder: '{data}/owl'}", "position_codes=true"]  # fmt: skip
REGIONS = [
    "regions={source: '{data}/owl', count: 6, objects: [circle, star], attributes: [red thing, blue thing]}"
]
FUSED = [*REGIONS, *under("model", {"dim": 16, "layers": 2, "heads": 2, "hidden": 32})]
VILBERT = [
    *FUSED,
    *under("model", {
        "region_width": 16, "region_layers": 1, "region_heads": 2, "region_hidden": 16, "cross_dim": 16,
        "cross_heads": 2, "text_places": [1], "region_places": [0],
    }),
]  # fmt: skip
SIMCLR = under("model.image_encoder", {**ENCODER, "stem": "null"})
HUGE = ["fsdp=false", "data.held=0.2", "epochs=null", "activation_checkpointing=false", "workers=0"]
DVAE = under("model", {"image_size": 32, "group_count": 4, "n_init": 8, "n_hid": 8, "vocab_size": 16})
DALLE = [*under("model", {"dim": 16, "layers": 2, "heads": 2, "head_dim": 8, "hidden": 32}),
         "init_from={dvae: '{data}/dvae'}", "judge='{data}/clip'"]  # fmt: skip
CHANGES: dict[str, list[str]] = {
    "albef": ALBEF,
    "blip2-stage1": BLIP2,
    "blip2-stage2": [
        "data={data}/talk.json", "data.held=0.2", "init_from={qformer: '{data}/blip2', language_model: '{data}/llava'}"
    ],
    "clip": [*CLIP, "init_from=null"],
    "clip-captions": [*CLIP, "data={data}/pairs.csv", "vocabulary=300", "length=16"],
    "clip-cifar10": [*CLIP, "model.image_encoder.patch=8", "data={data}/classes.zip"],
    "clip-hard-negatives": ["data={data}/pairs.csv", "init_from={data}/clip", "epochs=null"],
    "clip-relations": [*CLIP],
    "coca": [*COCA, "init_from=null"],
    "coca-captions": [*COCA, "data={data}/pairs.csv", "vocabulary=300", "length=16"],
    "dalle": DALLE,
    "diffusion": DIFFUSION,
    "dvae": DVAE,
    "llava": [*LLAVA, "length=300"],
    "llava-align": [
        "data={data}/talk.json", "init_from={image_encoder: '{data}/owl', language_model: '{data}/llama'}", *HUGE
    ],
    "llava-instruct": ["data={data}/talk.json", "init_from={data}/llava", *HUGE],
    "llava-words": [*LLAVA, "length=300"],
    "lxmert": [*FUSED, *under("model", {"layers": 1, "region_layers": 1, "cross_layers": 1})],
    "owl": [*OWL],
    "owl-boxes": [*OWL, "init_from=null", "data={data}/voc"],
    "sam": under("model", {
        "image_size": 32, "patch": 8, "dim": 16, "layers": 1, "heads": 2, "hidden": 32, "width": 16,
        "decoder_heads": 2, "decoder_hidden": 16, "iou_head_hidden_dim": 16}),
    "simclr": SIMCLR,
    "vilbert": VILBERT,
    "vilbert-select": VILBERT,
    "visualbert": FUSED,
}  # fmt: skip
"""What makes each shipped recipe small."""


def changes(name: str, data: Path) -> list[str]:
    """The overrides of a recipe, for data made by `make_data`."""
    return [change.replace("{data}", str(data)) for change in CHANGES[name]]


def make_data(folder: Path) -> None:
    """Data and models in `folder` for the recipes that bring none."""
    rng = np.random.default_rng(0)
    folder.mkdir(parents=True)

    def image() -> bytes:
        data = BytesIO()
        PIL.Image.fromarray(rng.integers(0, 255, (24, 20, 3), np.uint8)).save(data, "png")
        return data.getvalue()

    (folder / "images").mkdir()
    lines, talk = ["path,caption"], []
    for i in range(40):
        (folder / "images" / f"{i}.png").write_bytes(image())
        lines += [
            f"images/{i}.png,noise of kind {i % 7}",
            f"images/{i}.png,{'very ' * (i % 4)}grey noise {i}",
        ]
        said = " ".join(["it is noise"] * (1 + i % 3))  # answers of different lengths
        turns = [{"from": "human", "value": "<image>\nwhat is this"}, {"from": "gpt", "value": said}]
        talk.append({"id": str(i), "image": f"images/{i}.png", "conversations": turns})
    (folder / "pairs.csv").write_text("\n".join(lines))
    (folder / "talk.json").write_text(json.dumps(talk))
    with zipfile.ZipFile(folder / "classes.zip", "w") as archive:
        for name in ("cat", "dog", "frog"):
            for i in range(20):
                archive.writestr(f"{name}/{i}.png", image())
    voc = folder / "voc"
    for name in ("Annotations", "JPEGImages", "ImageSets/Main"):
        (voc / name).mkdir(parents=True)
    for i in range(12):
        (voc / "JPEGImages" / f"{i}.png").write_bytes(image())
        things = "".join(
            f"<object><name>{label}</name><bndbox><xmin>{2 + i}</xmin><ymin>3</ymin><xmax>{6 + i}</xmax>"
            "<ymax>14</ymax></bndbox></object>"
            for label in ("cell", "egg")[: 1 + i % 2]
        )
        (voc / "Annotations" / f"{i}.xml").write_text(f"<annotation>{things}</annotation>")
    for name, numbers in (("train", range(9)), ("val", range(9, 12))):
        (voc / "ImageSets/Main" / f"{name}.txt").write_text("\n".join(map(str, numbers)))
    make_models(folder)


def make_models(folder: Path) -> None:
    """A detector as "owl", a CLIP as "clip", a discrete autoencoder as "dvae", a language model in the hub's layout as
    "llama", and it joined with the detector's eyes as "llava"."""
    from safetensors.torch import save_file

    torch.manual_seed(0)
    for name in ("owl", "llava", "blip2"):
        (folder / name).mkdir()
    load_recipe("owl", [*OWL, "scale=1"]).build().save(folder / "owl")
    load_recipe("clip", [*CLIP, "init_from=null"]).build().save(folder / "clip")
    load_recipe("dvae", DVAE).build().save(folder / "dvae")
    tokenizer = word_tokenizer(["user : assistant what is this it noise"], 64)
    model = Llama(LlamaConfig(vocab=len(tokenizer), dim=16, layers=1, heads=2, hidden=32, tied=False))
    llama = folder / "llama"
    model.save_pretrained(llama)
    state = {k: v.contiguous() for k, v in KEYS.to_theirs(model.state_dict()).items()}
    save_file(state, llama / "model.safetensors")
    config = {"model_type": "llama", "vocab_size": len(tokenizer), "hidden_size": 16, "num_hidden_layers": 1,
              "num_attention_heads": 2, "intermediate_size": 32, "rms_norm_eps": 1e-6}  # fmt: skip
    (llama / "config.json").write_text(json.dumps(config))
    tokenizer.save_pretrained(llama)
    load_recipe("llava-align", changes("llava-align", folder)[:2]).build().save(folder / "llava")
    load_recipe("blip2-stage1", BLIP2).build().save(folder / "blip2")


if __name__ == "__main__":
    torch.set_num_threads(1)
    out, batch_size = Path(sys.argv[1]), int(sys.argv[2])
    state = PartialState(cpu=True)
    if state.is_main_process:
        make_data(out / "data")
    state.wait_for_everyone()
    for name in CHANGES:
        if sys.argv[3:] and name not in sys.argv[3:]:
            continue
        common = [f"steps={STEPS}", f"batch_size={batch_size}", "accumulation=1", "precision=fp32",
                  "evaluate_every=null", "schedule.warmup=1"]  # fmt: skip
        fit(load_recipe(name, [*changes(name, out / "data"), *common]), out / name)
    leave(0)
