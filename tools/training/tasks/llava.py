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

from visprog.tools.models.checkpoint import fetch
from visprog.tools.models.llama import Llama, LlamaConfig
from visprog.tools.models.llava import Llava, LlavaConfig
from visprog.tools.models.llava_chat import IMAGE, Chat
from visprog.tools.models.pixels import Pixels
from visprog.tools.models.text import Tokenizer, word_tokenizer

from ..data.conversations import read_conversations
from ..data.samples import BadSample, DataError
from ..scenes import Scenes
from ..scenes.kinds import KINDS, WORDINGS
from ..task import Task
from .start import tell_places, trained_tower

DESCRIBE = "Describe the picture."
SCENE_LENGTH = 32
THINGS = (1, 2, 5, 5)
"""Things at most in the scenes to train on, in turn: words find their sense in those with few."""
IGNORED = -100


class Spoken(NamedTuple):
    """Pictures and the conversation about them.

    Attributes:
        pictures: uint8 (height, width, 3) each.
        turns: questions with answers; each picture has its place, "<image>".
    """

    pictures: Sequence[NDArray[np.uint8]]
    turns: Sequence[tuple[str, str]]


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

    def __init__(self, config: LlavaTaskConfig, model: Llava, tokenizer: Tokenizer, pixels: Pixels) -> None:
        super().__init__(config)
        self.model, self.tokenizer, self.pixels = model, tokenizer, pixels
        self.chat = Chat(tokenizer, model.config.per_image)

    @abstractmethod
    def data(self, split: Literal["train", "val"]) -> Any:
        """As `Task.data`."""

    def collate(self, samples: Sequence[Spoken]) -> dict[str, Tensor]:
        """Ids (n, length) padded on the right, labels (n, length) of what the assistant says, and all pictures."""
        written = [self.chat.write(sample.turns) for sample in samples]
        length = max(len(w.ids) for w in written)
        tokens = torch.full((len(written), length), self.chat.end)
        labels = torch.full((len(written), length), IGNORED)
        for row, (ids, spoken) in enumerate(written):
            tokens[row, : len(ids)] = torch.tensor(ids)
            said = torch.tensor([t if s else IGNORED for t, s in zip(ids, spoken, strict=True)])
            labels[row, : len(ids)] = said
        batch = {"tokens": tokens, "labels": labels}
        pictures = [picture for sample in samples for picture in sample.pictures]
        return batch | ({"images": self.pixels(pictures)} if pictures else {})

    def check(self, sample: Spoken, name: str) -> Spoken:
        """The sample. Raises `BadSample` where it is too long."""
        length = len(self.chat.write(sample.turns).ids)
        if length > self.config.length:
            raise BadSample(name, f"it has {length} tokens, {self.config.length} are the most")
        return sample

    def loss(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return {"loss": self._losses(batch).sum() / (batch["labels"][:, 1:] != IGNORED).sum()}

    def _losses(self, batch: Mapping[str, Tensor]) -> Tensor:
        """Of every next token (n, length - 1); 0 where it is not the assistant's."""
        x, _ = self.model.embed(batch["tokens"], batch.get("images"))
        features, _ = self.model.language.read(x)
        spoken = batch["labels"][:, 1:] != IGNORED
        logits = self.model.language.head(features[:, :-1][spoken])  # only where they are needed
        losses = F.cross_entropy(logits.float(), batch["labels"][:, 1:][spoken], reduction="none")
        return torch.zeros(spoken.shape, device=losses.device).masked_scatter(spoken, losses)

    def blocks(self) -> Sequence[nn.Module]:
        return [*self.model.tower.blocks, *self.model.language.blocks]

    def amounts(self, batch: Mapping[str, Tensor]) -> Mapping[str, int]:
        return {"conversations": len(batch["tokens"]), "tokens": batch["tokens"].numel()}

    def save(self, folder: Path) -> None:
        self.model.save(folder)
        self.tokenizer.save(folder)
        self.pixels.save(folder)


# -- scenes ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class SceneLlavaConfig(LlavaTaskConfig):
    """What a recipe says of LLaVA on scenes.

    Attributes:
        tower: whose image tower it sees with, as `trained_tower` takes it.
        text: shape of the language model, which starts from scratch; its vocabulary is made here.
        turns: questions in a conversation.
        describe: share of conversations that end with a description, which teaches most to a model that cannot see
            yet.
        scenes: how many there are to train on.
        style: of the scenes, as in `Scenes`.
        backgrounds: folder of photographs behind half of the scenes.
    """

    tower: str = "owl"
    text: LlamaConfig = field(default_factory=lambda: LlamaConfig(dim=160, layers=4, heads=5, hidden=432))
    turns: int = 8
    describe: float = 1.0
    scenes: int = 1_000_000
    style: str | None = None
    backgrounds: Path | None = None


class SpokenScenes:
    """Scenes, each with a conversation of several questions."""

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
        """A picture and questions about it."""
        scene, config = self.kinds[key % len(THINGS)][key], self.task.config
        turns = [(q.text, q.answer_text) for q in scene.questions(config.turns)]
        if rng.random() < config.describe or not turns:  # last, so that no answer can be read off it
            turns = [*turns, (DESCRIBE, scene.captions("plain")[0])]
        turns[0] = (f"{IMAGE}\n{turns[0][0]}", turns[0][1])
        return self.task.check(Spoken([scene.pixels], turns), f"scene {key}")


class AskedScenes:
    """One question about each of many scenes; every second shows a combination that training never does."""

    def __init__(self, task: SceneLlava, count: int) -> None:
        self.task, self.count = task, count
        self.scenes = [
            Scenes(task.side, split=split, style=task.config.style) for split in ("val", "held_out")
        ]

    def __len__(self) -> int:
        return self.count

    def sample(self, key: int, rng: np.random.Generator) -> tuple[NDArray[np.uint8], str, str, int, int]:
        """Pixels, question, answer, its kind, and which of the two tests it is of."""
        which = key % 2
        scene = self.scenes[which][key]
        for kind in rng.permutation(len(KINDS)):
            for question in scene.questions(1, [KINDS[kind]]):
                return scene.pixels, question.text, question.answer_text, int(kind), which
        raise BadSample(f"scene {key}", "it gives no question")

    def collate(self, samples: list[Any]) -> dict[str, Tensor]:
        pictures, questions, answers, kinds, which = zip(*samples, strict=True)
        tokens, mask = self.task.chat.prompts(questions)
        answer = torch.tensor([self.task.tokenizer.backend.token_to_id(a) for a in answers])
        return {
            "images": self.task.pixels(pictures), "tokens": tokens, "mask": mask, "answer": answer,
            "kind": torch.tensor(kinds), "test": torch.tensor(which),
        }  # fmt: skip


class SceneLlava(LlavaTask):
    """LLaVA on scenes. The scores are shares of questions answered right: "accuracy" on scenes like those trained
    on, "held_out" on those with combinations that training never shows, and that of each kind of question."""

    Config: ClassVar[Any] = SceneLlavaConfig
    metric: ClassVar[str] = "accuracy"

    def __init__(self, config: SceneLlavaConfig) -> None:
        tower = trained_tower(config.tower)
        self.side = tower.config.size
        tokenizer = scene_tokenizer()
        model = Llava(
            LlavaConfig(
                replace(tower.config, project=None),
                replace(config.text, vocab=len(tokenizer)),
                image_token=tokenizer.id(IMAGE),
            )
        )
        state = {k: v for k, v in tower.state_dict().items() if not k.startswith("projection")}
        model.tower.load_state_dict(state)
        tell_places(model.tower)
        super().__init__(config, model, tokenizer, Pixels(size=(self.side, self.side)))

    def data(self, split: Literal["train", "val"]) -> SpokenScenes | AskedScenes:
        return SpokenScenes(self) if split == "train" else AskedScenes(self, 1024)

    def predict(self, batch: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        said = self.model.generate(
            batch["tokens"], batch["images"], 2, mask=batch["mask"], stop=[self.chat.end]
        )
        ended = said[:, -1] == self.chat.end  # an answer is one word
        return {
            "right": (said[:, 0] == batch["answer"]) & ended,
            "kind": batch["kind"],
            "test": batch["test"],
        }

    def score(self, predictions: Mapping[str, Tensor]) -> Mapping[str, float]:
        right, known = predictions["right"].float(), predictions["test"] == 0
        scores = {"accuracy": right[known].mean(), "held_out": right[~known].mean()}
        scores |= {name: right[predictions["kind"] == i].mean() for i, name in enumerate(KINDS)}
        return {name: float(value) for name, value in scores.items()}


def scene_tokenizer() -> Tokenizer:
    """All words of questions, answers and captions of scenes."""
    scenes = Scenes(32, split="train")
    texts = [
        text for i in range(600) for text in (*scenes[i].captions("plain"), *_said(scenes[i].questions(8)))
    ]
    texts += [
        wording.replace("{", " ").replace("}", " ") for wordings in WORDINGS.values() for wording in wordings
    ]
    return word_tokenizer([*texts, "USER: ASSISTANT: yes no", DESCRIBE], SCENE_LENGTH, special=[IMAGE])


def _said(questions: Iterable[Any]) -> list[str]:
    return [f"{q.text} {q.answer_text}" for q in questions]


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
        super().__init__(config, *(_resumed(config) if config.checkpoint else _joined(config)))

    def data(self, split: Literal["train", "val"]) -> SpokenFiles | None:
        held = round(self.config.held * len(self.found))
        if split == "val":
            return SpokenFiles(self, range(held)) if held else None
        return SpokenFiles(self, range(held, len(self.found)))

    def predict(self, batch: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        return {"nats": self._losses(batch).sum(1), "tokens": (batch["labels"][:, 1:] != IGNORED).sum(1)}

    def score(self, predictions: Mapping[str, Tensor]) -> Mapping[str, float]:
        return {"loss": float(predictions["nats"].sum() / predictions["tokens"].sum())}


def _resumed(config: FileLlavaConfig) -> tuple[Llava, Tokenizer, Pixels]:
    """The parts of a LLaVA that is there already."""
    folder = fetch(config.checkpoint or "")
    own = (folder / "pixels.json").is_file()
    model = Llava.load(folder) if own else Llava.from_pretrained(folder)
    return model, Tokenizer.load(folder), Pixels.load(folder)


def _joined(config: FileLlavaConfig) -> tuple[Llava, Tokenizer, Pixels]:
    """A tower and a language model that have not met; the token "<image>" is added to the latter's."""
    if config.language is None:
        raise DataError("language: give the LLaMA that shall speak, or a checkpoint of LLaVA to go on with")
    folder = fetch(config.language)
    tokenizer, language = Tokenizer.load(folder), Llama.from_pretrained(folder)
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
    model.tower.load_state_dict(state)
    words = language.state_dict()
    for name in ("embed.weight", "head.weight"):
        more = words[name].mean(0).expand(vocab - len(words[name]), -1)
        words[name] = torch.cat([words[name], more])
    model.language.load_state_dict(words)
    side = tower.config.size
    pixels = folder_pixels(config.tower) or Pixels(size=(side, side))
    return model, tokenizer, pixels


def folder_pixels(source: str) -> Pixels | None:
    """How a tower wants its pictures, where its folder says so."""
    try:
        return Pixels.load(fetch(source))
    except ValueError:
        return None
