"""What keeps a dataset from travelling to a worker, found before a process is started."""

from __future__ import annotations

import ast
import multiprocessing
import pickle
import sys
from typing import Any

from ...errors import ArgumentTypeError, FusegradError, WorkerError
from .fetch import Recipe

GUARD = 'put the code that runs under if __name__ == "__main__":, or use num_workers=0'


def check_nesting() -> None:
    """Refuse to start workers where that cannot work: inside a worker or a script's import.

    Raises:
        RuntimeError: this process is a worker, or is importing the main script for one.
    """
    process = multiprocessing.current_process()
    if getattr(process, "_inheriting", False):
        raise WorkerError(
            "a DataLoader with workers in a script that a worker is importing",
            "A worker imports the main script to find the dataset's class, and it starts again.",
            GUARD,
        )
    if process.daemon:
        raise WorkerError(
            "a DataLoader with workers inside a worker process",
            "Worker processes have no children.",
            "num_workers=0 for the inner loader",
        )


def check_main(needed: bool) -> None:
    """Refuse a script without a guard when workers have to import it.

    Raises:
        RuntimeError: the main script would run again in every worker.
    """
    main = sys.modules["__main__"]
    path = getattr(main, "__file__", None)
    if not needed or getattr(main, "__spec__", None) is not None:
        return
    if path is None:
        raise WorkerError(
            "a dataset or function defined in an interactive session goes to DataLoader workers",
            "A worker finds classes and functions by importing them, and a session has no file.",
            "define them in a module and import it, or use num_workers=0",
        )
    try:
        with open(path, encoding="utf-8") as file:
            tree = ast.parse(file.read())
    except (OSError, SyntaxError, ValueError):
        return
    guarded = any(
        isinstance(node, ast.If)
        and any(isinstance(n, ast.Name) and n.id == "__name__" for n in ast.walk(node.test))
        for node in tree.body
    )
    if not guarded:
        raise WorkerError(
            "a DataLoader with workers in a script that runs as a whole when it is imported",
            "The dataset's class is defined in the script, so every worker imports it.",
            GUARD,
        )


def explain_unpicklable(recipe: Recipe, initialise: Any, error: Exception) -> FusegradError:
    """The error for something that cannot be sent to a worker; names the part."""
    parts = {
        "dataset": recipe.dataset,
        "collate_fn": recipe.collate,
        "worker_init_fn": initialise,
    }
    found = (_unpicklable(part, name) for name, part in parts.items())
    where, _, what = next(filter(None, found), f"dataset: {error}").partition(": ")
    return ArgumentTypeError(
        f"{where} cannot be sent to DataLoader workers: {what}",
        "Workers are processes of their own: what they use is pickled.",
        "def at the top level of a module instead of a lambda or local class (open files and "
        "connections in worker_init_fn), or num_workers=0",
    )


def _unpicklable(part: Any, name: str, depth: int = 3) -> str:
    """``name.attribute: reason`` of the innermost part that does not pickle, empty if all do."""
    try:
        pickle.dumps(part, protocol=5)
    except Exception as error:
        inner = getattr(part, "__dict__", None)
        if depth and isinstance(inner, dict) and not isinstance(part, type):
            for key, value in inner.items():
                found = _unpicklable(value, f"{name}.{key}", depth - 1)
                if found:
                    return found
        if depth and isinstance(part, (list, tuple)):
            for k, value in enumerate(part):
                found = _unpicklable(value, f"{name}[{k}]", depth - 1)
                if found:
                    return found
        return f"{name}: {str(error).splitlines()[0]}"
    return ""
