"""REINFORCE balances a pole on a cart: policy gradients with a loss of one's own.

Sixteen carts run side by side in NumPy for at most 200 steps (physics of Barto, Sutton and
Anderson 1983). Choosing actions and learning from whole episodes are a jitted function each; the
loss is the log-probability of the actions times what followed them (Williams 1992).

Printed by python examples/reinforce.py:

    episode  15  mean return 39.2
    episode  30  mean return 92.8
    episode  45  mean return 172.6
    episode  60  mean return 188.5
    one step: jit 168 us, eager 1634 us
"""

import sys
from functools import partial
from timeit import repeat

import numpy as np

import fusegrad as fg
from fusegrad import nn, optim
from fusegrad.nn import functional as F

CARTS, LIMIT, DISCOUNT = 16, 200, 0.99


def physics(state, push):
    """The carts 0.02 s later, and which of them are still upright and on the track."""
    speed, angle, spin = state.T[1:]
    sine, cosine = np.sin(angle), np.cos(angle)
    shared = (np.where(push, 10.0, -10.0) + 0.05 * spin**2 * sine) / 1.1
    turn = (9.8 * sine - cosine * shared) / (0.5 * (4 / 3 - 0.1 * cosine**2 / 1.1))
    pull = shared - 0.05 * turn * cosine / 1.1
    state = state + 0.02 * np.stack([speed, pull, spin, turn], 1)
    return state, (abs(state[:, 0]) < 2.4) & (abs(state[:, 2]) < 0.2095)


def episode(act, rng):
    """States, actions and the mask of steps before a fall, each of shape [LIMIT, CARTS, ...]."""
    state, alive = rng.uniform(-0.05, 0.05, (CARTS, 4)), np.ones(CARTS, bool)
    record = []
    for _ in range(LIMIT):
        push = act(fg.from_numpy(state.astype(np.float32))).numpy()
        record.append((state, push, alive))
        state, up = physics(state, push > 0)
        alive = alive & up
    return [np.stack(x).astype(np.float32) for x in zip(*record)]


def advantages(alive):
    """Discounted number of steps to come, standardised over all steps before a fall."""
    left, total = np.zeros_like(alive), 0.0
    for k in reversed(range(LIMIT)):
        left[k] = total = alive[k] * (1 + DISCOUNT * total)
    counted = left[alive > 0]
    return (left - counted.mean()) / (counted.std() + 1e-6) * alive


def main(episodes=60):
    """Train; returns the mean length of the last five episodes and the learning step."""
    fg.manual_seed(0)
    rng = np.random.default_rng(0)
    policy = nn.Sequential(nn.Linear(4, 32), nn.Tanh(), nn.Linear(32, 1), nn.Flatten(0))
    optimizer = optim.Adam(policy.parameters(), lr=1e-2)

    @fg.jit
    def act(state):
        with fg.no_grad():
            return fg.bernoulli(policy(state).sigmoid())

    @fg.jit
    def learn(states, actions, advantage, count):
        optimizer.zero_grad()
        surprise = F.binary_cross_entropy_with_logits(policy(states), actions, reduction="none")
        loss = (surprise * advantage).sum() / count
        loss.backward()
        optimizer.step()
        return loss

    lengths = []
    for k in range(1, episodes + 1):
        states, actions, alive = episode(act, rng)
        batch = (states.reshape(-1, 4), actions.ravel(), advantages(alive).ravel())
        batch = (*map(fg.from_numpy, batch), fg.tensor(alive.sum()))
        learn(*batch)
        lengths.append(alive.sum(0).mean())
        if k % max(1, episodes // 4) == 0:
            print(f"episode {k:3d}  mean return {lengths[-1]:.1f}")
    runs = (learn, learn.__wrapped__)
    times = [min(repeat(partial(run, *batch), number=1, repeat=50)) * 1e6 for run in runs]
    print("one step: jit {:.0f} us, eager {:.0f} us".format(*times))
    return sum(lengths[-5:]) / 5, learn


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 60)
