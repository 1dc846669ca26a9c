/** @file How element-wise work is cut into tasks. */

/** Elements of a task: some tens of microseconds, and little enough to stay in a core's cache. */
const TASK_ELEMENTS = 16384;

/** Tasks for some elements, and the elements of each. */
export function elementTasks(count: number): { tasks: number; chunk: number } {
  return { tasks: Math.ceil(count / TASK_ELEMENTS), chunk: TASK_ELEMENTS };
}

/** Tasks for rows of some elements, and the rows of each. */
export function rowTasks(rows: number, rowElements: number): { tasks: number; chunk: number } {
  const chunk = Math.max(1, Math.floor(TASK_ELEMENTS / Math.max(1, rowElements)));
  return { tasks: Math.ceil(rows / chunk), chunk };
}
