"""LLVM IR of the executor's worker threads: started once, spinning for jobs, then asleep.

In: ``{set_mask}``, the platform's ``SIG_SETMASK``. Out: ``WORKERS``, a part of the module that
``executor_ir.py`` puts together; its table says what the words of ``@pool`` mean.
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
