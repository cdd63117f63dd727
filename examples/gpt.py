"""A character-level GPT that learns to write like Python's documentation, then writes some.

The text is the language reference that every CPython carries for help() (pydoc_data.topics), so
nothing is downloaded; numbers and letters depend on the Python version.

Printed by python examples/gpt.py:

    step 300  loss 1.93
    step 600  loss 1.36
    step 900  loss 1.46
     in the to formatticis * *_for__self  A non sambe pattern and ":" attributed in to the
    "_exc__is__()" and attributes and on daction should "," not it      theargets, defineral the
    "except" to new in b
    one step: eager 171 ms, jit 16.2 ms
"""

import textwrap
import timeit
from pydoc_data.topics import topics

import fusegrad as fg
from fusegrad import nn, optim
from fusegrad.nn import functional as F

CONTEXT = 64


class GPT(nn.Module):
    def __init__(self, characters, width, layers):
        super().__init__()
        self.tokens, self.places = nn.Embedding(characters, width), nn.Embedding(CONTEXT, width)
        options = {"dropout": 0.0, "activation": "gelu", "batch_first": True, "norm_first": True}
        layer = nn.TransformerEncoderLayer(width, 4, 4 * width, **options)
        self.blocks = nn.TransformerEncoder(layer, layers, nn.LayerNorm(width))
        self.head = nn.Linear(width, characters)
        self.register_buffer("mask", nn.Transformer.generate_square_subsequent_mask(CONTEXT))

    def forward(self, text):
        x = self.tokens(text) + self.places.weight
        return self.head(self.blocks(x, self.mask, is_causal=True))


def main(steps=900, width=128, layers=4, batch=16, letters=200):
    """Train, write ``letters`` characters, return the last loss and the compiled step."""
    fg.manual_seed(0)
    text = "\n".join(topics[name] for name in sorted(topics))[:200_000]
    alphabet = sorted(set(text))
    text = fg.tensor([alphabet.index(c) for c in text])
    model = GPT(len(alphabet), width, layers)
    optimizer = optim.AdamW(model.parameters(), lr=2e-3)
    schedule = optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)

    def train_step():
        starts = fg.randint(0, len(text) - CONTEXT - 1, (batch, 1)) + fg.arange(CONTEXT)
        optimizer.zero_grad()
        loss = F.cross_entropy(model(text[starts]).flatten(0, 1), text[starts + 1].flatten())
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        return loss

    step = fg.jit(train_step)

    @fg.jit  # the next character, drawn by adding Gumbel noise to the scores
    def follow(window):
        scores = model(window)[0, -1] / 0.7
        return (scores - (-fg.rand(len(alphabet)).log()).log()).argmax()

    for k in range(1, steps + 1):
        loss = step()
        schedule.step()
        if k % (steps // 3) == 0:
            print(f"step {k}  loss {loss.item():.2f}")
    written = text[:CONTEXT].tolist()
    while len(written) < CONTEXT + letters:
        written.append(follow(fg.tensor([written[-CONTEXT:]])).item())
    print(textwrap.fill("".join(alphabet[k] for k in written[CONTEXT:]), 92))
    eager, jitted = (min(timeit.repeat(f, number=1, repeat=3)) for f in (train_step, step))
    print(f"one step: eager {eager * 1e3:.0f} ms, jit {jitted * 1e3:.1f} ms")
    return loss.item(), step


if __name__ == "__main__":
    main()
