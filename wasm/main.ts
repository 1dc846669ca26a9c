/**
 * The run loop. A program is a list of launches in linear memory, 16 bytes each:
 *
 *   function index in the table, address of its arguments, number of tasks, address of a time stamp (f64) or 0
 *
 * and ends with the function index END. Threads share one 64-bit cursor: the address of the current launch in its upper
 * half, the number of tasks nobody has taken yet (plus BIAS) in its lower. One subtraction takes a task; the thread that
 * finishes a launch's last task moves the cursor on. So a thread that wakes late joins in where the others are, and
 * one that the system has suspended holds up nothing but the task it has taken.
 */

const END: u32 = 0xffff_ffff;
const RECORD_BYTES: usize = 16;

/** Threads that find no task left subtract too; the bias keeps them from borrowing from the launch's address. */
const BIAS: u32 = 0x4000_0000;

/** Offsets in the control block, on cache lines of their own. */
const CURSOR: usize = 0;
/** Counts launches: what threads that have nothing to do wait for. */
const PHASE: usize = 64;
const SLEEPERS: usize = 68;
/** Finished tasks of the current launch. */
const DONE: usize = 128;
/** Not 0 once threads shall end. */
const STOPPED: usize = 132;

/**
 * Looks at the phase so often before going to sleep, about as long as going to sleep and waking take. The starter's step
 * with 16 threads on 16 Xeon cores: 46 ms with 200, 42 with 2,000, 40 with 20,000, 42 with 200,000.
 */
const SPINS: i32 = 20000;

/** Called by the thread that finished the last task of a program. */
declare function finished(): void;

/** Milliseconds since any moment that all threads agree on. */
declare function now(): f64;

/** First address that static data does not use. */
export function heapBase(): usize {
  return __heap_base;
}

/** Makes a launch the current one, or ends the program. Also how a program begins. */
export function begin(control: usize, launch: usize): void {
  atomic.store<i32>(control, 0, DONE);
  const ended = load<u32>(launch) == END;
  const tasks = load<u32>(launch, 8);
  atomic.store<u64>(control, ended ? BIAS : ((launch as u64) << 32) | (BIAS + tasks), CURSOR);
  atomic.add<i32>(control, 1, PHASE);
  if (ended) {
    finished();
  } else if (tasks > 1 && atomic.load<i32>(control, SLEEPERS) > 0) {
    atomic.notify(control + PHASE, tasks);
  }
}

/** Begins a program that workers work on, of whom all may be asleep. */
export function post(control: usize, launch: usize): void {
  begin(control, launch);
  atomic.notify(control + PHASE, 1);
}

/** Takes one task and does it; false if none is left. */
export function step(control: usize, scratch: usize): bool {
  const claim = atomic.sub<u64>(control, 1, CURSOR);
  const left = (claim as i32) - (BIAS as i32);
  if (left <= 0) return false;
  const launch = (claim >> 32) as usize;
  const tasks = load<i32>(launch, 8);
  call_indirect<void>(load<u32>(launch), load<usize>(launch, 4), tasks - left, scratch);
  if (atomic.add<i32>(control, 1, DONE) + 1 == tasks) {
    const stamp = load<usize>(launch, 12);
    if (stamp != 0) store<f64>(stamp, now());
    begin(control, launch + RECORD_BYTES);
  }
  return true;
}

/** What a worker does until it is stopped. */
export function work(control: usize, scratch: usize): void {
  while (true) {
    const phase = atomic.load<i32>(control, PHASE);
    if (step(control, scratch)) continue;
    if (atomic.load<i32>(control, STOPPED) != 0) return;
    rest(control, phase);
  }
}

/** Ends all workers that have nothing to do: Deno's processes outlive a worker that is terminated in its sleep. */
export function stop(control: usize): void {
  atomic.store<i32>(control, 1, STOPPED);
  atomic.add<i32>(control, 1, PHASE);
  atomic.notify(control + PHASE, -1);
}

/** Waits until another launch begins: looking for a moment, then asleep. */
function rest(control: usize, phase: i32): void {
  for (let i = 0; i < SPINS; i++) if (atomic.load<i32>(control, PHASE) != phase) return;
  atomic.add<i32>(control, 1, SLEEPERS);
  atomic.wait<i32>(control + PHASE, phase, -1);
  atomic.sub<i32>(control, 1, SLEEPERS);
}
