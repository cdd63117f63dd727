"""Parameters of a predator-prey system from noisy counts, with their uncertainties.

dx/dt = a x - b x y, dy/dt = c x y - d y. Every interval between two observations is integrated
from a fitted state by the Runge-Kutta method, all intervals at once (multiple shooting); Adam finds
the most probable parameters and states. The curvature of the log posterior there, one compiled
Hessian-vector product per column, gives the error bars (Laplace's approximation).

Printed by python examples/ode_fit.py:

    step  1000  -log posterior 29.16
    step  2000  -log posterior 28.55
    step  3000  -log posterior 28.55
    a = 1.009 +- 0.024, true 1.000
    b = 0.501 +- 0.014, true 0.500
    c = 0.250 +- 0.007, true 0.250
    d = 0.789 +- 0.021, true 0.800
    one step: jit 14 us, eager 13128 us
"""

import sys
from timeit import repeat

import numpy as np

import fusegrad as fg
from fusegrad import optim
from fusegrad.autograd.functional import hvp

TRUE = fg.tensor([1.0, 0.5, 0.25, 0.8])
SAMPLES, SPACING, NOISE, DEFECT = 40, 0.5, 0.05, 0.02


def velocity(state, p):
    """Growth of the logarithms of both populations."""
    prey, predator = state.exp().unbind(1)
    return fg.stack([p[0] - p[1] * predator, p[2] * prey - p[3]], 1)


def advance(state, p, steps=2):
    """The states one spacing later."""
    h = SPACING / steps
    for _ in range(steps):
        k1 = velocity(state, p)
        k2 = velocity(state + h / 2 * k1, p)
        k3 = velocity(state + h / 2 * k2, p)
        k4 = velocity(state + h * k3, p)
        state = state + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
    return state


def observe():
    """Logarithms of counts, with log-normal noise."""
    states = [fg.tensor([[2.0, 1.0]]).log()]
    for _ in range(SAMPLES - 1):
        states.append(advance(states[-1], TRUE, 8))
    return fg.cat(states) + NOISE * fg.randn(SAMPLES, 2)


def surprise(unknown, seen):
    """The negative log posterior: misfit, gaps between intervals, a wide prior."""
    log_p, states = unknown[:4], unknown[4:].reshape(SAMPLES, 2)
    gaps = advance(states[:-1], log_p.exp()) - states[1:]
    misfit = ((states - seen) / NOISE) ** 2
    return 0.5 * (misfit.sum() + ((gaps / DEFECT) ** 2).sum() + (log_p**2).sum())


def main(steps=3000):
    """Fit; returns the parameters, their error bars, and the step."""
    fg.manual_seed(0)
    seen = observe()
    unknown = fg.cat([fg.full((4,), -1.0), seen.ravel()]).requires_grad_()
    optimizer = optim.Adam([unknown], lr=5e-3)

    @fg.jit
    def step():
        optimizer.zero_grad()
        loss = surprise(unknown, seen)
        loss.backward()
        optimizer.step()
        return loss

    for k in range(1, steps + 1):
        loss = step()
        if k % max(1, steps // 3) == 0:
            print(f"step {k:5d}  -log posterior {loss.item():.2f}")
    column = fg.jit(lambda x, v: hvp(lambda x: surprise(x, seen), x, v)[1])
    curvature = np.stack([column(unknown.detach(), v).numpy() for v in fg.eye(len(unknown))])
    found = unknown.detach()[:4].exp().numpy()
    bars = np.sqrt(np.diag(np.linalg.inv(curvature))[:4]) * found
    for name, value, bar, true in zip("abcd", found, bars, TRUE.tolist()):
        print(f"{name} = {value:.3f} +- {bar:.3f}, true {true:.3f}")
    runs = (step, step.__wrapped__)
    times = [min(repeat(run, number=1, repeat=50)) * 1e6 for run in runs]
    print("one step: jit {:.0f} us, eager {:.0f} us".format(*times))
    return found, bars, step


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 3000)
