"""Gradients step by step: backward, accumulation, detach, second derivatives.

Printed by python examples/autograd_basics.py:

    y = 14.0  dy/dx = [2.0, 4.0, 6.0]
    gradients accumulate: [5.0, 7.0, 9.0]
    vector-Jacobian product: [2.0, 1.0, 0.2]
    requires grad inside no_grad: False
    requires grad after detach: False
    a vector needs a cotangent: backward of a tensor f32[3]
    w^3 and its derivatives at 2: [8.0, 12.0, 12.0, 6.0]
    the third one compiled: 6.0 in 1 kernel(s)
    one step: eager 895 us, jit 1 us
"""

import timeit

import fusegrad as fg


def main():
    """Walk through the autograd of PyTorch's tutorials."""
    x = fg.tensor([1.0, 2.0, 3.0], requires_grad=True)
    y = (x**2).sum()
    y.backward()
    print("y =", y.item(), " dy/dx =", x.grad.tolist())

    (3 * x).sum().backward()
    print("gradients accumulate:", x.grad.tolist())
    x.grad = None

    z = x * 2
    z.backward(gradient=fg.tensor([1.0, 0.5, 0.1]))
    print("vector-Jacobian product:", [round(v, 3) for v in x.grad.tolist()])

    with fg.no_grad():
        print("requires grad inside no_grad:", (x * 2).requires_grad)
    print("requires grad after detach:", x.detach().requires_grad)

    try:
        (x * 2).backward()
    except RuntimeError as error:
        print("a vector needs a cotangent:", str(error).splitlines()[0])

    w = fg.tensor(2.0, requires_grad=True)
    values = [w**3]
    for _ in range(3):
        values += fg.autograd.grad(values[-1], w, create_graph=True)
    print("w^3 and its derivatives at 2:", [v.item() for v in values])

    def third(w):
        value = w**3
        for _ in range(3):
            (value,) = fg.autograd.grad(value, w, create_graph=True)
        return value

    jitted = fg.jit(third)
    print("the third one compiled:", jitted(w).item(), "in", len(jitted.kernels()), "kernel(s)")
    eager, fast = (min(timeit.repeat(lambda f=f: f(w), number=20)) for f in (third, jitted))
    print(f"one step: eager {eager / 20e-6:.0f} us, jit {fast / 20e-6:.0f} us")
    return x, values, jitted


if __name__ == "__main__":
    main()
