"""LLVM IR that keeps the threads of a team on cores of their own.

In: the platform. Out: :func:`text`, a part of the executor, with ``@settle(index)``, which every
thread calls when it starts on a job. A scheduler may leave a worker on the core of the thread that
woke it; two threads in lockstep then take turns on one core while another is free, at half the
speed, for as long as both are runnable. A worker that finds itself on the core of a thread before
it moves to the cores that are left. The calling thread is never moved, and nobody is where threads
have to share cores (no patience, see ``executor_ir.py``).
"""

from __future__ import annotations

# Bytes of a CPU mask: 1024 CPUs, the size of the C library's cpu_set_t.
MASK_BYTES = 128

_LINUX = """
@cores = internal global [8192 x i64] zeroinitializer, align 128
declare i32 @sched_getcpu()
declare i32 @getpid()
declare i32 @sched_getaffinity(i32, i64, ptr)
declare i32 @sched_setaffinity(i32, i64, ptr)

; One word per thread, each on a cache line of its own.
define internal ptr @core_of(i64 %index) alwaysinline {
  %word = mul i64 %index, 8
  %at = getelementptr inbounds i64, ptr @cores, i64 %word
  ret ptr %at
}

define internal void @settle(i64 %index) {
entry:
  %patience.at = call ptr @cell(i64 114)
  %patience = load atomic i64, ptr %patience.at monotonic, align 8
  %crowded = icmp eq i64 %patience, 0
  br i1 %crowded, label %done, label %here
here:
  %cpu32 = call i32 @sched_getcpu()
  %cpu = sext i32 %cpu32 to i64
  %mine = call ptr @core_of(i64 %index)
  store atomic i64 %cpu, ptr %mine monotonic, align 8
  br label %look
look:
  %other = phi i64 [ 0, %here ], [ %other.next, %differs ]
  %end = icmp eq i64 %other, %index
  br i1 %end, label %done, label %compare
compare:
  %theirs = call ptr @core_of(i64 %other)
  %core = load atomic i64, ptr %theirs monotonic, align 8
  %same = icmp eq i64 %core, %cpu
  br i1 %same, label %move, label %differs
differs:
  %other.next = add i64 %other, 1
  br label %look
move:
  call void @move_away(i64 %index)
  br label %done
done:
  ret void
}

; Allow this thread the process's cores without those of the threads before it.
define internal void @move_away(i64 %index) noinline {
entry:
  %mask = alloca [16 x i64], align 8
  %pid = call i32 @getpid()
  %bytes = call i32 @sched_getaffinity(i32 %pid, i64 MASK_BYTES, ptr %mask)
  %failed = icmp slt i32 %bytes, 0
  br i1 %failed, label %done, label %clear
clear:
  %other = phi i64 [ 0, %entry ], [ %other.next, %next ]
  %theirs = call ptr @core_of(i64 %other)
  %core = load atomic i64, ptr %theirs monotonic, align 8
  %known = icmp ult i64 %core, 1024
  br i1 %known, label %drop, label %next
drop:
  %word = lshr i64 %core, 6
  %bit = and i64 %core, 63
  %one = shl i64 1, %bit
  %keep = xor i64 %one, -1
  %at = getelementptr inbounds i64, ptr %mask, i64 %word
  %old = load i64, ptr %at, align 8
  %new = and i64 %old, %keep
  store i64 %new, ptr %at, align 8
  br label %next
next:
  %other.next = add i64 %other, 1
  %more = icmp slt i64 %other.next, %index
  br i1 %more, label %clear, label %set
set:
  ; Fails without harm when no core is left: more threads than cores.
  %r = call i32 @sched_setaffinity(i32 0, i64 MASK_BYTES, ptr %mask)
  %cpu32 = call i32 @sched_getcpu()
  %cpu = sext i32 %cpu32 to i64
  %mine = call ptr @core_of(i64 %index)
  store atomic i64 %cpu, ptr %mine monotonic, align 8
  br label %done
done:
  ret void
}
"""

_ELSEWHERE = """
define internal void @settle(i64 %index) {
  ret void
}
"""


def text(triple: str) -> str:
    """The IR of ``@settle`` for a platform; elsewhere than on Linux it does nothing."""
    if "linux" in triple:
        return _LINUX.replace("MASK_BYTES", str(MASK_BYTES))
    return _ELSEWHERE
