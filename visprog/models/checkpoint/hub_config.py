"""The `config.json` of public checkpoints: its type is checked first, and no setting is ignored."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from .weight_files import few

HARMLESS = frozenset(
    """
    _attn_implementation _attn_implementation_autoset _commit_hash _flash_attn_2_enabled _name_or_path
    architectures attention_dropout attention_probs_dropout_prob attn_implementation bad_words_ids
    begin_suppress_tokens bos_token_id
    chunk_size_feed_forward decoder_start_token_id diversity_penalty do_sample dropout dtype early_stopping
    encoder_no_repeat_ngram_size eos_token_id exponential_decay_length_penalty finetuning_task
    forced_bos_token_id forced_eos_token_id gradient_checkpointing id2label ignore_index initializer_factor
    initializer_range label2id length_penalty logit_scale_init_value max_length max_sequence_length min_length
    model_type name_or_path no_repeat_ngram_size num_beam_groups num_beams num_labels num_return_sequences
    output_attentions output_hidden_states output_scores pad_token_id prefix pretraining_tp problem_type
    remove_invalid_values repetition_penalty return_dict return_dict_in_generate sep_token_id suppress_tokens
    task_specific_params temperature tf_legacy_loss tokenizer_class top_k top_p torch_dtype torchscript
    transformers_version typical_p unk_token_id unsloth_fixed unsloth_version
    use_bfloat16 use_cache use_return_dict
    """.split()
)
"""Settings that change nothing of what a model computes from its inputs, or only how it is trained or generates."""

ABSENT = frozenset(
    """
    add_cross_attention cross_attention_hidden_size is_decoder is_encoder_decoder pruned_heads tie_encoder_decoder
    """.split()
)
"""Settings of every configuration for what none of the models here has: fine as long as they are off."""


BY_CLASS = {
    "Blip2ForConditionalGeneration": "blip2_generator",
    "Blip2ForImageTextRetrieval": "blip2",
    "Blip2Model": "blip2_generator",
}
"""Classes of transformers that share a `model_type`, and the types that they are here."""


def architecture(raw: Mapping[str, Any]) -> str | None:
    """The `model_type` of a configuration, which the class in its `architectures` makes more exact or, if there is
    none, gives; None if it has neither."""
    found: str | None = raw.get("model_type")
    first = str((raw.get("architectures") or [""])[0])
    if first in BY_CLASS:
        return BY_CLASS[first]
    if found is None and first:
        name = re.match(r"(.+?)(?:Text|Vision)?(?:Model|For[A-Z]|$)", first)
        found = name[1].lower() if name else None
    return found


def check_model_type(raw: Mapping[str, Any], *types: str) -> None:
    """Refuse a configuration of another type. One that names none, such as a part of another, passes.

    Raises:
        ValueError: it is of another type.
    """
    found = architecture(raw)
    if found is not None and found not in types:
        wanted = " or ".join(f"'{name}'" for name in types)
        raise ValueError(f"this is a checkpoint of model_type '{found}', not {wanted}")


def check_keys(raw: Mapping[str, Any], known: Iterable[str], where: str = "config.json") -> None:
    """Refuse settings that are not implemented here, so that none is ignored.

    Args:
        raw: a configuration, or a part of one.
        known: settings that the caller reads.
        where: name of `raw` in messages.

    Raises:
        ValueError: there are others, or the weights are quantised; the message names them.
    """
    for key in ("quantization_config", "compression_config"):
        if raw.get(key):
            method = raw[key].get("quant_method", "") if isinstance(raw[key], dict) else raw[key]
            raise ValueError(
                f"{where} has {key} ({method or 'no method'}): quantised weights are not read, "
                "take the checkpoint that they were made of"
            )
    on = [key for key in ABSENT if raw.get(key)]
    known = {*known, *HARMLESS, *ABSENT}
    others = sorted(on + [key for key, value in raw.items() if key not in known and value is not None])
    if others:
        named = few(f"{key} = {_short(raw[key])}" for key in others)
        raise ValueError(f"{where} asks for {named}, which is not implemented here")


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 40 else text[:39] + "…"
