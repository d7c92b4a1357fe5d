"""Questions that are not in English, by their commonest words: told apart to refuse them in a way that helps."""

from __future__ import annotations

import re
import unicodedata

_WORDS = {
    "German": (
        "ist sind das der dem den ein eine einen wie viele wieviele wer wo welche welches auf dem im bild "
        "mit und nicht von zeige gibt dreh drehe mach mache hat haben schild foto auto grad farbe steht "
        "zu"
    ),
    "French": (
        "est sont le les des une du combien quel quelle quelles qui que où dans sur la avec et pas il "
        "elle cette ce photo couleur voiture degrés fais mets tourne personnes y a-t-il dit"
    ),
    "Spanish": (
        "es son el los las una cuántas cuantas cuántos cuantos qué cuál quién dónde hay en con y no esta "
        "este foto imagen color coche dice gira grados cartel de la"
    ),
    "Italian": (
        "è sono il lo gli le una quanti quante che cosa chi dove ci nella nel sul con e non questa questo "
        "foto colore gradi ruota scritto di la"
    ),
    "Portuguese": (
        "é são os as uma quantos quantas que quem onde há na no em com e não esta este foto imagem cor "
        "graus gire está escrito de"
    ),
    "Dutch": (
        "zijn het een hoeveel wat wie waar welke op de deze foto met en niet van er draai graden kleur "
        "staat bord"
    ),
}
"""Common words of languages that are written in Latin letters."""

MIN_WORDS = 2
"""Number of a language's words from which a question is taken to be in it."""


def foreign(question: str, english: frozenset[str]) -> str:
    """What a question is written in, for a message; empty if it may be English.

    Args:
        english: Words of English, in lower case.
    """
    letters = [character for character in question if character.isalpha()]
    others = [character for character in letters if not unicodedata.name(character, "").startswith("LATIN")]
    if len(others) * 2 > len(letters):
        return "another script"
    words = re.findall(r"[^\W\d_]+", question.lower())
    counts = {name: sum(word in known.split() for word in words) for name, known in _WORDS.items()}
    most = max(counts, key=lambda name: counts[name])
    if counts[most] < MIN_WORDS or sum(word in english for word in words) > counts[most]:
        return ""
    return most
