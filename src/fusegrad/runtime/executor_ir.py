"""LLVM IR of the executor: what its threads share, and what Python calls.

In: the platform's ``pause`` instruction and signal mask. Out: :func:`text`, compiled once by
``executor.py``, which documents the table; it puts the walk over the table
(``executor_walk.py``), loops (``executor_loops.py``) and worker threads (``executor_workers.py``)
between its own parts. Everything shared between threads lies in ``@pool``;
each cell has a pair of cache lines (16 words), so spinning on one does not slow writes to another:

====  =========  ===============================================================================
word  name       meaning
====  =========  ===============================================================================
0     owner      1 while a calling thread uses the workers
16    ticket     (sequence number << 16) | team size of the posted job; one word, so that a late
                 worker never pairs an old number with a new team
32    job        address of the posted job
48    arrived    threads that reached the current barrier
64    release    (barrier number << 1) | stop; the last thread to arrive decides for all
80    done       workers that finished the posted job
96    sleepers   workers inside ``pthread_cond_wait``
112   workers    workers started so far
113   limit      ``set_num_threads``
114   patience   pauses before a waiting thread gives its core away, per wait
115   idle       pauses before an idle worker sleeps
128   mutex      room for a ``pthread_mutex_t``
160   condition  room for a ``pthread_cond_t``
====  =========  ===============================================================================
"""

from __future__ import annotations

import signal
import sys

from .executor_loops import LOOPS
from .executor_walk import WALK
from .executor_workers import WORKERS

POOL_WORDS = 192

# Signals that a faulty instruction raises in the thread itself; all others go to Python's threads.
_SYNCHRONOUS = ("SIGILL", "SIGTRAP", "SIGABRT", "SIGBUS", "SIGFPE", "SIGSEGV", "SIGSYS")

SHARED = """
@pool = internal global [{pool_words} x i64] zeroinitializer, align 128
@signals = internal constant [16 x i64] [i64 {signals}, {more_signals}]

declare i32 @sched_yield()
declare i32 @pthread_create(ptr, ptr, ptr, ptr)
declare i32 @pthread_detach(ptr)
declare i32 @pthread_sigmask(i32, ptr, ptr)
declare i32 @pthread_mutex_init(ptr, ptr)
declare i32 @pthread_mutex_lock(ptr)
declare i32 @pthread_mutex_unlock(ptr)
declare i32 @pthread_cond_init(ptr, ptr)
declare i32 @pthread_cond_wait(ptr, ptr)
declare i32 @pthread_cond_broadcast(ptr)
declare ptr @PyLong_AsVoidPtr(ptr)
declare ptr @PyLong_FromLong(i64)
declare ptr @PyEval_SaveThread()
declare void @PyEval_RestoreThread(ptr)
{pause_declaration}

define internal ptr @cell(i64 %word) alwaysinline {{
  %p = getelementptr inbounds i64, ptr @pool, i64 %word
  ret ptr %p
}}

; One step of a wait: pause, or give the core away once `round` exceeds the patience.
define internal void @relax(i64 %round) alwaysinline {{
  %at = call ptr @cell(i64 114)
  %patience = load atomic i64, ptr %at monotonic, align 8
  %long = icmp ugt i64 %round, %patience
  br i1 %long, label %yield, label %pause
yield:
  %r = call i32 @sched_yield()
  ret void
pause:
  {pause}
  ret void
}}

; Wait for `rounds` pauses; Python times this to learn what a pause costs.
define void @fusegrad_spin(i64 %rounds) {{
entry:
  br label %loop
loop:
  %i = phi i64 [ 0, %entry ], [ %next, %loop ]
  {pause}
  %next = add i64 %i, 1
  %more = icmp ult i64 %next, %rounds
  br i1 %more, label %loop, label %end
end:
  ret void
}}
"""

ENTRY_POINTS = """
; Run a job {table, entries, stop, threads}; returns its stop flag.
define i64 @fusegrad_run(ptr %job) {
entry:
  %stop.at = getelementptr inbounds i64, ptr %job, i64 2
  store i64 0, ptr %stop.at, align 8
  %threads.at = getelementptr inbounds i64, ptr %job, i64 3
  %threads = load i64, ptr %threads.at, align 8
  %single = icmp slt i64 %threads, 2
  br i1 %single, label %alone, label %limited
limited:
  %limit.at = call ptr @cell(i64 113)
  %limit = load atomic i64, ptr %limit.at monotonic, align 8
  %over = icmp sgt i64 %threads, %limit
  %team = select i1 %over, i64 %limit, i64 %threads
  %small = icmp slt i64 %team, 2
  br i1 %small, label %alone, label %claim
claim:
  ; A second calling thread (or a callback inside a program) does not wait: it works alone.
  %owner.at = call ptr @cell(i64 0)
  %pair = cmpxchg ptr %owner.at, i64 0, i64 1 acquire monotonic
  %won = extractvalue { i64, i1 } %pair, 1
  br i1 %won, label %owned, label %alone
owned:
  %size = call i64 @recruit(i64 %team)
  %several = icmp sgt i64 %size, 1
  br i1 %several, label %together, label %give.up
together:
  call void @lead(ptr %job, i64 %size)
  store atomic i64 0, ptr %owner.at release, align 8
  br label %end
give.up:
  store atomic i64 0, ptr %owner.at release, align 8
  br label %alone
alone:
  call void @walk_alone(ptr %job)
  br label %end
end:
  %stop = load i64, ptr %stop.at, align 8
  ret i64 %stop
}

; PyCFunction bodies: `self` is the job's address as a Python int.
define ptr @fusegrad_call_holding_gil(ptr %self, ptr %unused) {
  %job = call ptr @PyLong_AsVoidPtr(ptr %self)
  %stop = call i64 @fusegrad_run(ptr %job)
  %result = call ptr @PyLong_FromLong(i64 %stop)
  ret ptr %result
}

define ptr @fusegrad_call_releasing_gil(ptr %self, ptr %unused) {
  %job = call ptr @PyLong_AsVoidPtr(ptr %self)
  %state = call ptr @PyEval_SaveThread()
  %stop = call i64 @fusegrad_run(ptr %job)
  call void @PyEval_RestoreThread(ptr %state)
  %result = call ptr @PyLong_FromLong(i64 %stop)
  ret ptr %result
}

; Forget all workers, at start and in a forked child, where they do not exist.
define void @fusegrad_reset_pool(i64 %limit, i64 %patience, i64 %idle) {
  call void @llvm.memset.p0.i64(ptr @pool, i8 0, i64 POOL_BYTES, i1 false)
  %limit.at = call ptr @cell(i64 113)
  store atomic i64 %limit, ptr %limit.at monotonic, align 8
  %patience.at = call ptr @cell(i64 114)
  store atomic i64 %patience, ptr %patience.at monotonic, align 8
  %idle.at = call ptr @cell(i64 115)
  store atomic i64 %idle, ptr %idle.at monotonic, align 8
  %mutex = call ptr @cell(i64 128)
  %condition = call ptr @cell(i64 160)
  %r0 = call i32 @pthread_mutex_init(ptr %mutex, ptr null)
  %r1 = call i32 @pthread_cond_init(ptr %condition, ptr null)
  ret void
}

define void @fusegrad_configure(i64 %limit, i64 %patience) {
  %limit.at = call ptr @cell(i64 113)
  store atomic i64 %limit, ptr %limit.at monotonic, align 8
  %patience.at = call ptr @cell(i64 114)
  store atomic i64 %patience, ptr %patience.at monotonic, align 8
  ret void
}

define i64 @fusegrad_workers() {
  %workers.at = call ptr @cell(i64 112)
  %workers = load i64, ptr %workers.at, align 8
  ret i64 %workers
}

declare void @llvm.memset.p0.i64(ptr, i8, i64, i1)
"""


def _pause(triple: str) -> tuple[str, str]:
    """The CPU's spin-wait hint as (call, declaration)."""
    if triple.startswith(("x86_64", "i686")):
        return "call void @llvm.x86.sse2.pause()", "declare void @llvm.x86.sse2.pause()"
    if triple.startswith(("aarch64", "arm64")):
        return "call void @llvm.aarch64.hint(i32 1)", "declare void @llvm.aarch64.hint(i32)"
    return "fence seq_cst", ""


def _blocked_signals() -> int:
    """Mask with every signal but those that a faulty instruction raises, as a signed word."""
    mask = (1 << 64) - 1
    for name in _SYNCHRONOUS:
        number = getattr(signal, name, None)
        if number is not None:
            mask &= ~(1 << (number - 1))
    return mask - (1 << 64)


def text(triple: str) -> str:
    """IR of the executor module."""
    pause, declaration = _pause(triple)
    shared = SHARED.format(
        pool_words=POOL_WORDS,
        signals=_blocked_signals(),
        more_signals=", ".join(["i64 -1"] * 15),
        pause=pause,
        pause_declaration=declaration,
    )
    set_mask = int(getattr(signal, "SIG_SETMASK", 2 if sys.platform != "darwin" else 3))
    workers = WORKERS.replace("{set_mask}", str(set_mask))
    entries = ENTRY_POINTS.replace("POOL_BYTES", str(POOL_WORDS * 8))
    return "".join([shared, LOOPS, WALK, workers, entries])
