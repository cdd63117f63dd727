"""The typed IR: avals, primitives, equations, graphs, their text form, checker and evaluator."""
