"""LLVM IR of the executor: the loop over a launch table, the barrier and the worker threads.

In: the platform's ``pause`` instruction and signal mask. Out: :func:`text`, compiled once by
``executor.py``, which documents the table. Everything shared between threads lies in ``@pool``;
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

WALK = """
; Run the share of thread `thread` of `team` of one table entry. The entry's work is split over
; `active` parts whatever the team is, so results do not depend on how many threads were free.
define internal void @launch(ptr %row, i64 %thread, i64 %team) alwaysinline {
entry:
  %fn = load ptr, ptr %row, align 8
  %args.at = getelementptr inbounds i64, ptr %row, i64 1
  %args = load ptr, ptr %args.at, align 8
  %count.at = getelementptr inbounds i64, ptr %row, i64 2
  %count = load i64, ptr %count.at, align 8
  %stride.at = getelementptr inbounds i64, ptr %row, i64 3
  %stride = load i64, ptr %stride.at, align 8
  %active.at = getelementptr inbounds i64, ptr %row, i64 4
  %active = load i64, ptr %active.at, align 8
  %empty = icmp slt i64 %count, 1
  br i1 %empty, label %end, label %parts
parts:
  %part = phi i64 [ %thread, %entry ], [ %part.next, %part.end ]
  %mine = icmp slt i64 %part, %active
  br i1 %mine, label %blocks, label %end
blocks:
  %c = phi i64 [ 0, %parts ], [ %c.next, %blocks ]
  %block = phi ptr [ %args, %parts ], [ %block.next, %blocks ]
  call void %fn(ptr %block, i64 %part, i64 %active)
  %block.next = getelementptr i8, ptr %block, i64 %stride
  %c.next = add nuw nsw i64 %c, 1
  %more = icmp slt i64 %c.next, %count
  br i1 %more, label %blocks, label %part.end
part.end:
  %part.next = add i64 %part, %team
  br label %parts
end:
  ret void
}

; Index of the entry after a jump at `row`: its target when the condition cell is not zero.
define internal i64 @follow(ptr %row, i64 %index) alwaysinline {
  %cell.at = getelementptr inbounds i64, ptr %row, i64 1
  %cell = load ptr, ptr %cell.at, align 8
  %condition = load atomic i64, ptr %cell monotonic, align 8
  %taken = icmp ne i64 %condition, 0
  %target.at = getelementptr inbounds i64, ptr %row, i64 7
  %target = load i64, ptr %target.at, align 8
  %next = add i64 %index, 1
  %chosen = select i1 %taken, i64 %target, i64 %next
  ret i64 %chosen
}

; The whole table on the calling thread, without any synchronisation.
define internal void @walk_alone(ptr %job) {
entry:
  %table = load ptr, ptr %job, align 8
  %n.at = getelementptr inbounds i64, ptr %job, i64 1
  %n = load i64, ptr %n.at, align 8
  %stop.at = getelementptr inbounds i64, ptr %job, i64 2
  br label %check
check:
  %i = phi i64 [ 0, %entry ], [ %i.called, %called ], [ %i.jumped, %jump ], [ %i.turned, %turned ]
  %inside = icmp slt i64 %i, %n
  br i1 %inside, label %body, label %end
body:
  %at = getelementptr inbounds [8 x i64], ptr %table, i64 %i
  %op.at = getelementptr inbounds i64, ptr %at, i64 6
  %op = load i64, ptr %op.at, align 8
  switch i64 %op, label %turned [ i64 0, label %call
                                  i64 1, label %jump ]
turned:
  call void @turn(ptr %at)
  %i.turned = call i64 @again(ptr %at, i64 %i)
  br label %check
jump:
  %i.jumped = call i64 @follow(ptr %at, i64 %i)
  br label %check
call:
  call void @launch(ptr %at, i64 0, i64 1)
  %stop = load atomic i64, ptr %stop.at monotonic, align 8
  %stopped = icmp ne i64 %stop, 0
  br i1 %stopped, label %end, label %called
called:
  %i.called = add i64 %i, 1
  br label %check
end:
  ret void
}

; Wait for all threads of the team. The last one reads the stop flag and publishes it with the new
; barrier number in one word, so that every thread takes the same decision. Before that it runs the
; loop entry `row`, if there is one, while nobody else touches the argument blocks.
define internal i1 @barrier(ptr %job, i64 %team, ptr %row) {
entry:
  %release.at = call ptr @cell(i64 64)
  %old = load atomic i64, ptr %release.at monotonic, align 8
  %number = lshr i64 %old, 1
  %arrived.at = call ptr @cell(i64 48)
  %before = atomicrmw add ptr %arrived.at, i64 1 acq_rel
  %last.index = sub i64 %team, 1
  %last = icmp eq i64 %before, %last.index
  br i1 %last, label %open, label %wait
open:
  store atomic i64 0, ptr %arrived.at monotonic, align 8
  %plain = icmp eq ptr %row, null
  br i1 %plain, label %release, label %loop
loop:
  call void @turn(ptr %row)
  br label %release
release:
  %stop.at = getelementptr inbounds i64, ptr %job, i64 2
  %stop = load atomic i64, ptr %stop.at monotonic, align 8
  %stopped = icmp ne i64 %stop, 0
  %bit = zext i1 %stopped to i64
  %number.next = add i64 %number, 1
  %shifted = shl i64 %number.next, 1
  %new = or i64 %shifted, %bit
  store atomic i64 %new, ptr %release.at release, align 8
  ret i1 %stopped
wait:
  %round = phi i64 [ 0, %entry ], [ %round.next, %again ]
  %now = load atomic i64, ptr %release.at acquire, align 8
  %now.number = lshr i64 %now, 1
  %changed = icmp ne i64 %now.number, %number
  br i1 %changed, label %go, label %again
again:
  call void @relax(i64 %round)
  %round.next = add i64 %round, 1
  br label %wait
go:
  %now.bit = trunc i64 %now to i1
  ret i1 %now.bit
}

; The table as thread `thread` of a team in lockstep.
define internal void @walk(ptr %job, i64 %thread, i64 %team) {
entry:
  %table = load ptr, ptr %job, align 8
  %n.at = getelementptr inbounds i64, ptr %job, i64 1
  %n = load i64, ptr %n.at, align 8
  br label %check
check:
  %i = phi i64 [ 0, %entry ], [ %i.called, %called ], [ %i.jumped, %jumped ], [ %i.turned, %turned ]
  %inside = icmp slt i64 %i, %n
  br i1 %inside, label %body, label %end
body:
  %at = getelementptr inbounds [8 x i64], ptr %table, i64 %i
  %op.at = getelementptr inbounds i64, ptr %at, i64 6
  %op = load i64, ptr %op.at, align 8
  switch i64 %op, label %turn [ i64 0, label %call
                                i64 1, label %jump ]
turn:
  %stop.turn = call i1 @barrier(ptr %job, i64 %team, ptr %at)
  br i1 %stop.turn, label %end, label %turned
turned:
  %i.turned = call i64 @again(ptr %at, i64 %i)
  br label %check
jump:
  ; The first barrier makes the condition final, the second keeps it until everybody has read it.
  %stop.before = call i1 @barrier(ptr %job, i64 %team, ptr null)
  br i1 %stop.before, label %end, label %read
read:
  %i.jumped = call i64 @follow(ptr %at, i64 %i)
  %stop.after = call i1 @barrier(ptr %job, i64 %team, ptr null)
  br i1 %stop.after, label %end, label %jumped
jumped:
  br label %check
call:
  call void @launch(ptr %at, i64 %thread, i64 %team)
  %flag.at = getelementptr inbounds i64, ptr %at, i64 5
  %flag = load i64, ptr %flag.at, align 8
  %has.barrier = icmp ne i64 %flag, 0
  br i1 %has.barrier, label %meet, label %called
meet:
  %stop = call i1 @barrier(ptr %job, i64 %team, ptr null)
  br i1 %stop, label %end, label %called
called:
  %i.called = add i64 %i, 1
  br label %check
end:
  ret void
}
"""

WORKERS = """
; Sleep until the ticket's number differs from `seen`.
define internal void @doze(i64 %seen) {
entry:
  %mutex = call ptr @cell(i64 128)
  %condition = call ptr @cell(i64 160)
  %ticket.at = call ptr @cell(i64 16)
  %sleepers.at = call ptr @cell(i64 96)
  %r0 = call i32 @pthread_mutex_lock(ptr %mutex)
  ; Announced before the ticket is read again: the poster writes the ticket before it looks for
  ; sleepers, so one of the two sees the other.
  %s0 = atomicrmw add ptr %sleepers.at, i64 1 seq_cst
  br label %check
check:
  %ticket = load atomic i64, ptr %ticket.at seq_cst, align 8
  %number = lshr i64 %ticket, 16
  %same = icmp eq i64 %number, %seen
  br i1 %same, label %wait, label %end
wait:
  %r1 = call i32 @pthread_cond_wait(ptr %condition, ptr %mutex)
  br label %check
end:
  %s1 = atomicrmw sub ptr %sleepers.at, i64 1 seq_cst
  %r2 = call i32 @pthread_mutex_unlock(ptr %mutex)
  ret void
}

; Body of a worker thread; its argument is (ticket number already seen << 16) | index.
define internal ptr @worker(ptr %argument) {
entry:
  %word = ptrtoint ptr %argument to i64
  %index = and i64 %word, 65535
  %seen.first = lshr i64 %word, 16
  %ticket.at = call ptr @cell(i64 16)
  %job.at = call ptr @cell(i64 32)
  %done.at = call ptr @cell(i64 80)
  %idle.at = call ptr @cell(i64 115)
  br label %poll
poll:
  %seen = phi i64 [ %seen.first, %entry ], [ %seen, %idle ], [ %seen, %sleep ], [ %number, %next ]
  %round = phi i64 [ 0, %entry ], [ %round.next, %idle ], [ 0, %sleep ], [ 0, %next ]
  %ticket = load atomic i64, ptr %ticket.at acquire, align 8
  %number = lshr i64 %ticket, 16
  %same = icmp eq i64 %number, %seen
  br i1 %same, label %nothing, label %posted
nothing:
  %limit = load atomic i64, ptr %idle.at monotonic, align 8
  %tired = icmp ugt i64 %round, %limit
  br i1 %tired, label %sleep, label %idle
idle:
  call void @relax(i64 %round)
  %round.next = add i64 %round, 1
  br label %poll
sleep:
  call void @doze(i64 %seen)
  br label %poll
posted:
  %team = and i64 %ticket, 65535
  %member = icmp slt i64 %index, %team
  br i1 %member, label %work, label %next
work:
  %job = load ptr, ptr %job.at, align 8
  call void @walk(ptr %job, i64 %index, i64 %team)
  %d = atomicrmw add ptr %done.at, i64 1 release
  br label %next
next:
  br label %poll
}

; Start workers until `team` threads exist, the caller included; returns how many there are.
define internal i64 @recruit(i64 %team) {
entry:
  %workers.at = call ptr @cell(i64 112)
  %have = load i64, ptr %workers.at, align 8
  %wanted = sub i64 %team, 1
  %enough = icmp sge i64 %have, %wanted
  br i1 %enough, label %ready, label %start
ready:
  ret i64 %team
start:
  %kept = alloca [16 x i64], align 8
  %handle = alloca ptr, align 8
  %m0 = call i32 @pthread_sigmask(i32 {set_mask}, ptr @signals, ptr %kept)
  %ticket.at = call ptr @cell(i64 16)
  %ticket = load atomic i64, ptr %ticket.at monotonic, align 8
  %number = lshr i64 %ticket, 16
  %high = shl i64 %number, 16
  br label %one
one:
  %count = phi i64 [ %have, %start ], [ %index, %started ]
  %index = add i64 %count, 1
  %word = or i64 %high, %index
  %argument = inttoptr i64 %word to ptr
  %failed = call i32 @pthread_create(ptr %handle, ptr null, ptr @worker, ptr %argument)
  %bad = icmp ne i32 %failed, 0
  br i1 %bad, label %finish, label %started
started:
  %thread = load ptr, ptr %handle, align 8
  %d = call i32 @pthread_detach(ptr %thread)
  store i64 %index, ptr %workers.at, align 8
  %more = icmp slt i64 %index, %wanted
  br i1 %more, label %one, label %finish
finish:
  %total = phi i64 [ %count, %one ], [ %index, %started ]
  %m1 = call i32 @pthread_sigmask(i32 {set_mask}, ptr %kept, ptr null)
  %size = add i64 %total, 1
  ret i64 %size
}

; Hand the job to `team - 1` workers and take part in it.
define internal void @lead(ptr %job, i64 %team) {
entry:
  %ticket.at = call ptr @cell(i64 16)
  %job.at = call ptr @cell(i64 32)
  %done.at = call ptr @cell(i64 80)
  %sleepers.at = call ptr @cell(i64 96)
  store ptr %job, ptr %job.at, align 8
  store atomic i64 0, ptr %done.at monotonic, align 8
  %old = load atomic i64, ptr %ticket.at monotonic, align 8
  %number = lshr i64 %old, 16
  %number.next = add i64 %number, 1
  %high = shl i64 %number.next, 16
  %ticket = or i64 %high, %team
  store atomic i64 %ticket, ptr %ticket.at seq_cst, align 8
  %sleepers = load atomic i64, ptr %sleepers.at seq_cst, align 8
  %any = icmp ne i64 %sleepers, 0
  br i1 %any, label %wake, label %work
wake:
  %mutex = call ptr @cell(i64 128)
  %condition = call ptr @cell(i64 160)
  %r0 = call i32 @pthread_mutex_lock(ptr %mutex)
  %r1 = call i32 @pthread_cond_broadcast(ptr %condition)
  %r2 = call i32 @pthread_mutex_unlock(ptr %mutex)
  br label %work
work:
  call void @walk(ptr %job, i64 0, i64 %team)
  %helpers = sub i64 %team, 1
  br label %wait
wait:
  %round = phi i64 [ 0, %work ], [ %round.next, %again ]
  %done = load atomic i64, ptr %done.at acquire, align 8
  %all = icmp eq i64 %done, %helpers
  br i1 %all, label %end, label %again
again:
  call void @relax(i64 %round)
  %round.next = add i64 %round, 1
  br label %wait
end:
  ret void
}
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
