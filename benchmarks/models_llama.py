"""A LLaMA of 160 M parameters, writing with its cache, against transformers: the same weights, prompts and threads.

python benchmarks/models_llama.py --threads 2

Each line is ours over theirs: of seconds, the median over rounds in which both take turns; of memory, the most
that tensors took beside weights and inputs. Below 1 is faster, or smaller.
"""

from __future__ import annotations

import argparse
import tempfile

import torch
import transformers
from timing import compare, head

from visprog.models.llama import Llama


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--prompt", type=int, default=128, help="tokens")
    parser.add_argument("--new", type=int, default=64, help="tokens")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    transformers.utils.logging.disable_progress_bar()
    transformers.utils.logging.set_verbosity_error()
    config = transformers.LlamaConfig(
        vocab_size=32000, hidden_size=768, num_hidden_layers=12, num_attention_heads=12, intermediate_size=3072,
        tie_word_embeddings=False,
    )  # fmt: skip
    theirs = transformers.LlamaForCausalLM(config).eval()
    with tempfile.TemporaryDirectory() as folder:
        theirs.save_pretrained(folder)
        ours = Llama.from_pretrained(folder).eval()
    settings = transformers.GenerationConfig(
        max_new_tokens=arguments.new, min_new_tokens=arguments.new, do_sample=False, pad_token_id=0
    )
    head(arguments.threads, arguments.rounds)
    for batch in (1, 4):
        tokens = torch.randint(3, 31000, (batch, arguments.prompt))

        @torch.inference_mode()
        def mine(tokens: torch.Tensor = tokens) -> None:
            ours.generate(tokens, arguments.new)

        @torch.inference_mode()
        def other(tokens: torch.Tensor = tokens) -> None:
            theirs.generate(tokens, attention_mask=torch.ones_like(tokens), generation_config=settings)

        @torch.inference_mode()
        def read(tokens: torch.Tensor = tokens) -> None:
            ours(tokens)

        @torch.inference_mode()
        def their_reading(tokens: torch.Tensor = tokens) -> None:
            theirs(tokens, use_cache=False)

        compare(f"LLaMA 160 M, {batch} prompts read", read, their_reading, arguments.rounds)
        compare(f"LLaMA 160 M, {batch} answers written", mine, other, arguments.rounds, memory=True)


if __name__ == "__main__":
    main()
