"""LLVM IR of the walk over a launch table: alone, or as one thread of a team in lockstep.

In: nothing. Out: ``WALK``, a part of the module that ``executor_ir.py`` puts together, with the
barrier; ``executor.py`` documents the entries.
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
