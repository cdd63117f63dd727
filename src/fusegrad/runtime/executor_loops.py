"""LLVM IR of the executor's loop entries: blocks of pointers that walk, and when to go round again.

In: nothing. Out: ``LOOPS``, a part of the module that ``executor_ir.py`` puts together;
``executor.py`` documents the entries.
"""

LOOPS = """
; Start a loop: step number 0, every moving pointer at its first place. `args` is a loop's block:
; step, length, number of records; a record is the address of an argument slot, the address it
; starts from, an offset in bytes, and the bytes to move by after even and after odd steps.
define internal void @begin(ptr %args) {
entry:
  store i64 0, ptr %args, align 8
  %n.at = getelementptr inbounds i64, ptr %args, i64 2
  %n = load i64, ptr %n.at, align 8
  br label %check
check:
  %k = phi i64 [ 0, %entry ], [ %k.next, %record ]
  %more = icmp slt i64 %k, %n
  br i1 %more, label %record, label %end
record:
  %five = mul nuw nsw i64 %k, 5
  %first = add nuw nsw i64 %five, 3
  %at = getelementptr inbounds i64, ptr %args, i64 %first
  %slot = load ptr, ptr %at, align 8
  %base.at = getelementptr inbounds i64, ptr %at, i64 1
  %base = load i64, ptr %base.at, align 8
  %offset.at = getelementptr inbounds i64, ptr %at, i64 2
  %offset = load i64, ptr %offset.at, align 8
  %place = add i64 %base, %offset
  store i64 %place, ptr %slot, align 8
  %k.next = add nuw nsw i64 %k, 1
  br label %check
end:
  ret void
}

; End a step: count it and move the pointers.
define internal void @advance(ptr %args) {
entry:
  %step = load i64, ptr %args, align 8
  %step.next = add nuw nsw i64 %step, 1
  store i64 %step.next, ptr %args, align 8
  %parity = and i64 %step, 1
  %which = add nuw nsw i64 %parity, 3
  %n.at = getelementptr inbounds i64, ptr %args, i64 2
  %n = load i64, ptr %n.at, align 8
  br label %check
check:
  %k = phi i64 [ 0, %entry ], [ %k.next, %record ]
  %more = icmp slt i64 %k, %n
  br i1 %more, label %record, label %end
record:
  %five = mul nuw nsw i64 %k, 5
  %first = add nuw nsw i64 %five, 3
  %at = getelementptr inbounds i64, ptr %args, i64 %first
  %slot = load ptr, ptr %at, align 8
  %by.at = getelementptr inbounds i64, ptr %at, i64 %which
  %by = load i64, ptr %by.at, align 8
  %old = load i64, ptr %slot, align 8
  %new = add i64 %old, %by
  store i64 %new, ptr %slot, align 8
  %k.next = add nuw nsw i64 %k, 1
  br label %check
end:
  ret void
}

; What a loop entry does, once: op 2 ends a step, op 3 starts the loop.
define internal void @turn(ptr %row) {
entry:
  %args.at = getelementptr inbounds i64, ptr %row, i64 1
  %args = load ptr, ptr %args.at, align 8
  %op.at = getelementptr inbounds i64, ptr %row, i64 6
  %op = load i64, ptr %op.at, align 8
  %ends = icmp eq i64 %op, 2
  br i1 %ends, label %step, label %start
step:
  call void @advance(ptr %args)
  ret void
start:
  call void @begin(ptr %args)
  ret void
}

; Index of the entry after a loop entry: back to the target while there are steps left.
define internal i64 @again(ptr %row, i64 %index) alwaysinline {
  %args.at = getelementptr inbounds i64, ptr %row, i64 1
  %args = load ptr, ptr %args.at, align 8
  %step = load i64, ptr %args, align 8
  %length.at = getelementptr inbounds i64, ptr %args, i64 1
  %length = load i64, ptr %length.at, align 8
  %left = icmp slt i64 %step, %length
  %op.at = getelementptr inbounds i64, ptr %row, i64 6
  %op = load i64, ptr %op.at, align 8
  %ends = icmp eq i64 %op, 2
  %taken = and i1 %left, %ends
  %target.at = getelementptr inbounds i64, ptr %row, i64 7
  %target = load i64, ptr %target.at, align 8
  %next = add i64 %index, 1
  %chosen = select i1 %taken, i64 %target, i64 %next
  ret i64 %chosen
}
"""
