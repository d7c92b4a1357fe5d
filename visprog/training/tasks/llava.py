"""LLaVA: a language model learns to speak about pictures, of scenes and of one's own conversations.

The two published stages are two recipes of one task: `optimizer.lr` of the first trains the projector alone, that
of the second the projector and the language model. The loss is of what the assistant says, and of nothing else.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from visprog.models.checkpoint.hub import fetch
from visprog.models.llama import Llama, LlamaConfig
from visprog.models.llava.chat import IMAGE, Chat
from visprog.models.llava.model import Llava, LlavaConfig
from visprog.models.preprocess.image_processor import ImageProcessor
from visprog.models.preprocess.tokenizer import Tokenizer, word_tokenizer

from ...scenes import Scene, Scenes
from ...scenes.kinds import KINDS, WORDINGS
from ...scenes.language import cell, from_left
from ...scenes.questions import Question
from ...scenes.things import Thing
from ..data.conversations import read_conversations
from ..data.samples import BadSample, DataError
from ..distributed.collectives import share
from ..task import Task
from .start import start_llava, tell_places, trained_tower

LIST = "List the things with their places."
THINGS = (1, 2, 5, 5)
"""Things at most in the scenes to train on, in turn: words find their sense in those with few."""
LONGEST = 72
"""Tokens of an answer at most; a list of five things has 63."""
IGNORED = -100


class Spoken(NamedTuple):
    """Pictures and the conversation about them.

    Attributes:
        pictures: uint8 (height, width, 3) each.
        turns: questions with answers; each picture has its place, "<image>".
        given: answers, from the first, that are not to be learned.
    """

    pictures: Sequence[NDArray[np.uint8]]
    turns: Sequence[tuple[str, str]]
    given: int = 0


@dataclass(frozen=True)
class LlavaTaskConfig:
    """What a recipe says of LLaVA.

    Attributes:
        length: tokens of a conversation at most, the placeholders of its pictures included.
    """

    length: int = 2048


class LlavaTask(Task):
    """Visual instruction tuning (Liu et al. 2023). Subclasses make the model, the tokenizer and the data, whose
    samples are `Spoken`."""

    model: Llava

    def __init__(self, config: LlavaTaskConfig, model: Llava, chat: Chat, pixels: ImageProcessor) -> None:
        super().__init__(config)
        self.model, self.chat, self.pixels = model, chat, pixels

    @abstractmethod
    def data(self, split: Literal["train", "val"]) -> Any:
        """As `Task.data`."""

    def collate(self, samples: Sequence[Spoken]) -> dict[str, Tensor]:
        """Ids (n, length) padded on the right, labels (n, length) of what the assistant says, and all pictures."""
        written = [self.chat.encode(sample.turns) for sample in samples]
        length = max(len(w.ids) for w in written)
        tokens = torch.full((len(written), length), self.chat.end)
        labels = torch.full((len(written), length), IGNORED)
        for row, (ids, spoken) in enumerate(written):
            tokens[row, : len(ids)] = torch.tensor(ids)
            said = torch.tensor([t if s else IGNORED for t, s in zip(ids, spoken, strict=True)])
            labels[row, : len(ids)] = said
            labels[row, : len(self.chat.encode(samples[row].turns[: samples[row].given]).ids)] = IGNORED
        batch = {"tokens": tokens, "labels": labels}
        pictures = [picture for sample in samples for picture in sample.pictures]
        return batch | ({"images": self.pixels(pictures)} if pictures else {})

    def check(self, sample: Spoken, name: str) -> Spoken:
        """The sample. Raises `BadSample` where it is too long."""
        length = len(self.chat.encode(sample.turns).ids)
        if length > self.config.length:
            raise BadSample(name, f"it has {length} tokens, {self.config.length} are the most")
        return sample

    def loss(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        count = (batch["labels"][:, 1:] != IGNORED).sum()
        # The mean over the tokens of all processes, not the mean of their means.
        return {"loss": self._losses(batch).sum() / count.clamp(min=1) * share(count)}

    def _losses(self, batch: Mapping[str, Tensor]) -> Tensor:
        """Of every next token (n, length - 1); 0 where it is not the assistant's."""
        x, _ = self.model.embed(batch["tokens"], batch.get("images"))
        features, _ = self.model.language_model.forward_features(x)
        spoken = batch["labels"][:, 1:] != IGNORED
        logits = self.model.language_model.head(features[:, :-1][spoken])  # only where they are needed
        losses = F.cross_entropy(logits.float(), batch["labels"][:, 1:][spoken], reduction="none")
        return torch.zeros(spoken.shape, device=losses.device).masked_scatter(spoken, losses)

    def blocks(self) -> Sequence[nn.Module]:
        return [*self.model.image_encoder.blocks, *self.model.language_model.blocks]

    def amounts(self, batch: Mapping[str, Tensor]) -> Mapping[str, int]:
        return {"conversations": len(batch["tokens"]), "tokens": batch["tokens"].numel()}

    def save(self, folder: Path) -> None:
        self.model.save_pretrained(folder, torch.float16)
        self.chat.save_pretrained(folder)
        self.pixels.save_pretrained(folder)


# -- scenes ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class SceneLlavaConfig(LlavaTaskConfig):
    """What a recipe says of LLaVA on scenes, which lists what a picture shows before it answers.

    Attributes:
        start: a LLaVA on scenes to begin with, a folder that `visprog train` wrote; its shape must be the same.
        tower: where there is none, whose image tower it sees with, as `trained_tower` takes it.
        text: shape of the language model, which starts from scratch; its vocabulary is made here.
        merge: of patches, as in `LlavaConfig`.
        sighted: False where the true list of things stands for the picture: the language model then learns by
            itself what follows from a list.
        turns: questions in a conversation.
        scenes: how many there are to train on.
        style: of the scenes, as in `Scenes`.
        backgrounds: folder of photographs behind half of the scenes.
    """

    start: str | None = None
    tower: str = "owl"
    text: LlamaConfig = field(default_factory=lambda: LlamaConfig(dim=160, layers=4, heads=5, hidden=432))
    merge: int = 2
    sighted: bool = True
    turns: int = 8
    scenes: int = 1_000_000
    style: str | None = None
    backgrounds: Path | None = None


class SpokenScenes:
    """Scenes, each with the list of its things and several questions."""

    def __init__(self, task: SceneLlava) -> None:
        config = task.config
        self.task, self.collate = task, task.collate
        self.kinds = [
            Scenes(
                task.side, split="train", things=(1, most), style=config.style, backgrounds=config.backgrounds
            )
            for most in THINGS
        ]

    def __len__(self) -> int:
        return int(self.task.config.scenes)

    def sample(self, key: int, rng: np.random.Generator) -> Spoken:
        """A picture, or nothing in its place, and what is said of it."""
        scene, config = self.kinds[key % len(self.kinds)][key], self.task.config
        turns = [(q.text, reasoned(q)) for q in scene.questions(config.turns)]
        if config.sighted:
            spoken = Spoken([scene.pixels], [(f"{IMAGE}\n{LIST}", scene.listing), *turns])
        else:
            spoken = Spoken([], [(LIST, scene.listing), *turns], given=1)
        return self.task.check(spoken, f"scene {key}")


class Asked(NamedTuple):
    """A question about a scene; `held_out` where it shows a combination that training never does."""

    scene: Scene
    question: Question
    held_out: bool


class AskedScenes:
    """One question about each of many scenes; every second is held out."""

    def __init__(self, task: SceneLlava, count: int) -> None:
        self.task, self.count = task, count
        self.scenes = [
            Scenes(task.side, split=split, style=task.config.style) for split in ("val", "held_out")
        ]

    def __len__(self) -> int:
        return self.count

    def sample(self, key: int, rng: np.random.Generator) -> Asked:
        """The question is of any kind."""
        scene = self.scenes[key % 2][key]
        for kind in rng.permutation(KINDS):
            for question in scene.questions(1, [str(kind)]):
                return Asked(scene, question, bool(key % 2))
        raise BadSample(f"scene {key}", "it gives no question")

    def collate(self, samples: list[Asked]) -> dict[str, Any]:
        images = self.task.pixels([asked.scene.pixels for asked in samples])
        return {"images": images, "asked": list(map(tuple, samples))}


class SceneLlava(LlavaTask):
    """LLaVA on scenes. The scores are shares of questions answered right: "accuracy" on scenes like those trained
    on, "held_out" on those with combinations that training never shows, and that of each kind of question."""

    Config: ClassVar[Any] = SceneLlavaConfig
    metric: ClassVar[str] = "accuracy"

    def __init__(self, config: SceneLlavaConfig) -> None:
        tower = trained_tower(config.tower)
        self.side = tower.config.size
        tokenizer = scene_tokenizer()
        shape = LlavaConfig(
            replace(tower.config, project=None),
            replace(config.text, vocab=len(tokenizer)),
            image_token=tokenizer.id(IMAGE),
            feature_layers=(-1,),  # a detector's last layer is supervised at every patch
            merge=config.merge,
        )
        model = Llava(shape)
        if config.start is None:
            state = {k: v for k, v in tower.state_dict().items() if not k.startswith("projection")}
            model.image_encoder.load_state_dict(state)
            tell_places(model.image_encoder)
        else:
            start_llava(model, config.start)
        chat = Chat(tokenizer, shape.tokens_per_image, first_question=LIST, answer_mark=":")
        super().__init__(config, model, chat, ImageProcessor(size=(self.side, self.side), square=True))

    def data(self, split: Literal["train", "val"]) -> SpokenScenes | AskedScenes:
        return SpokenScenes(self) if split == "train" else AskedScenes(self, 512)

    def predict(self, batch: Mapping[str, Any]) -> Mapping[str, Tensor]:
        scenes, questions, held_out = zip(*batch["asked"], strict=True)
        texts, images = [q.text for q in questions], batch["images"]
        if self.config.sighted:
            answers = self.chat.answer(self.model, images, texts, LONGEST)
        else:
            turns = [[(LIST, s.listing), (q, None)] for s, q in zip(scenes, texts, strict=True)]
            tokens, mask = (x.to(images.device) for x in self.chat.encode_batch(turns))
            answers = self.chat.final_answers(
                self.model.generate(tokens, max_new=LONGEST, mask=mask, stop=[self.chat.end])
            )
        right = [a == q.answer_text for a, q in zip(answers, questions, strict=True)]
        found = (right, [KINDS.index(q.kind) for q in questions], held_out)
        return {
            name: torch.tensor(values, device=images.device)
            for name, values in zip(("right", "kind", "held_out"), found, strict=True)
        }

    def score(self, predictions: Mapping[str, Tensor]) -> Mapping[str, float]:
        right, held_out = predictions["right"].float(), predictions["held_out"]
        scores = {"accuracy": right[~held_out].mean(), "held_out": right[held_out].mean()}
        scores |= {name: right[predictions["kind"] == i].mean() for i, name in enumerate(KINDS)}
        return {name: float(value) for name, value in scores.items()}


def reasoned(question: Question) -> str:
    """The answer after what it rests on: each phrase with the cells of what it fits, "circle d 3 , k 6 ; red star none
    : no"; then what is claimed of two things, "star d 3 ; ring k 6 ; d < k : yes"."""
    told = [
        f"{ground.phrase} {' , '.join(map(cell, from_left(ground.things))) or 'none'}"
        for ground in question.grounds
    ]
    if question.claim:
        axis, *pair = question.claim
        told.append(" < ".join(_measured(axis, thing) for thing in pair))
    return f"{' ; '.join(told)} : {question.answer_text}"


def _measured(axis: str, thing: Thing) -> str:
    column, row = cell(thing).split()
    return {"x": column, "y": row, "size": f"{thing.size} {thing.shape}"}[axis]


def scene_tokenizer() -> Tokenizer:
    """All words of questions about scenes, of answers and of lists."""
    scenes = Scenes(32, split="train")
    texts = [text for i in range(600) for text in _said(scenes[i].questions(8))]
    texts += [
        wording.replace("{", " ").replace("}", " ") for wordings in WORDINGS.values() for wording in wordings
    ]
    listed = [scenes[i].listing for i in range(600)]
    return word_tokenizer([*texts, *listed, "USER: ASSISTANT: yes no", LIST], None, special=[IMAGE])


def _said(questions: Iterable[Question]) -> list[str]:
    return [f"{q.text} {reasoned(q)}" for q in questions]


# -- files -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class FileLlavaConfig(LlavaTaskConfig):
    """What a recipe says of LLaVA on one's own conversations.

    Attributes:
        conversations: as `read_conversations` takes them.
        images: folder or zip that the names of pictures are relative to.
        checkpoint: a LLaVA to go on with: a folder that `visprog train` wrote, or a public one.
        tower: where there is no checkpoint, whose image tower it sees with, as `trained_tower` takes it.
        language: where there is no checkpoint, the LLaMA that speaks: a hub id or a folder, with its tokenizer.
        held: share of conversations that are kept to score by.
    """

    conversations: Path = Path("conversations.json")
    images: Path | None = None
    checkpoint: str | None = None
    tower: str = "openai/clip-vit-large-patch14-336"
    language: str | None = None
    held: float = 0.02


class SpokenFiles:
    """Conversations of a data set."""

    def __init__(self, task: FileLlava, places: Sequence[int]) -> None:
        self.task, self.places = task, places

    def __len__(self) -> int:
        return len(self.places)

    def sample(self, key: int, rng: np.random.Generator) -> Spoken:
        """Its pictures and turns."""
        found = self.task.found[self.places[key]]
        questions, answers = found.turns[::2], found.turns[1::2]
        turns = [(q.text, a.text) for q, a in zip(questions, answers, strict=True)]
        return self.task.check(Spoken(found.images, turns), found.name)

    def collate(self, samples: list[Spoken]) -> dict[str, Tensor]:
        return self.task.collate(samples)


class FileLlava(LlavaTask):
    """LLaVA on one's own conversations. The score is the mean loss of the assistant's tokens."""

    Config: ClassVar[Any] = FileLlavaConfig
    lower_is_better: ClassVar[bool] = True

    def __init__(self, config: FileLlavaConfig) -> None:
        self.found = read_conversations(config.conversations, config.images)
        model, tokenizer, pixels = _resumed(config) if config.checkpoint else _joined(config)
        super().__init__(config, model, Chat(tokenizer, model.config.tokens_per_image), pixels)

    def data(self, split: Literal["train", "val"]) -> SpokenFiles | None:
        held = round(self.config.held * len(self.found))
        if split == "val":
            return SpokenFiles(self, range(held)) if held else None
        return SpokenFiles(self, range(held, len(self.found)))

    def predict(self, batch: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        return {"nats": self._losses(batch).sum(1), "tokens": (batch["labels"][:, 1:] != IGNORED).sum(1)}

    def score(self, predictions: Mapping[str, Tensor]) -> Mapping[str, float]:
        return {"loss": float(predictions["nats"].sum() / predictions["tokens"].sum())}


def _resumed(config: FileLlavaConfig) -> tuple[Llava, Tokenizer, ImageProcessor]:
    """The parts of a LLaVA that is there already."""
    folder = fetch(config.checkpoint or "")
    model = Llava.from_pretrained(folder)
    return model, Tokenizer.from_pretrained(folder), ImageProcessor.from_pretrained(folder)


def _joined(config: FileLlavaConfig) -> tuple[Llava, Tokenizer, ImageProcessor]:
    """A tower and a language model that have not met; the token "<image>" is added to the latter's."""
    if config.language is None:
        raise DataError("language: give the LLaMA that shall speak, or a checkpoint of LLaVA to go on with")
    folder = fetch(config.language)
    tokenizer, language = Tokenizer.from_pretrained(folder), Llama.from_pretrained(folder)
    tokenizer.backend.add_special_tokens([IMAGE])
    tower = trained_tower(config.tower)
    vocab = max(len(tokenizer), language.config.vocab)
    model = Llava(
        LlavaConfig(
            replace(tower.config, project=None),
            replace(language.config, vocab=vocab),
            image_token=tokenizer.id(IMAGE),
        )
    )
    state = {k: v for k, v in tower.state_dict().items() if not k.startswith("projection")}
    model.image_encoder.load_state_dict(state)
    words = language.state_dict()
    for name in ("embed.weight", "head.weight"):
        more = words[name].mean(0).expand(vocab - len(words[name]), -1)
        words[name] = torch.cat([words[name], more])
    model.language_model.load_state_dict(words)
    side = tower.config.size
    pixels = folder_pixels(config.tower)
    if pixels is None or not pixels.fixed:  # a picture has so many tokens, whatever its shape
        pixels = ImageProcessor(size=(side, side))
    return model, tokenizer, pixels


def folder_pixels(source: str) -> ImageProcessor | None:
    """How a tower wants its pictures, where its folder says so."""
    try:
        return ImageProcessor.from_pretrained(fetch(source))
    except ValueError:
        return None
