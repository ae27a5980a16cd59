/**
 * Clean-up after a test, last made first undone.
 *
 * node:test runs `after` hooks in the order they were registered, which would remove a folder
 * before the server that uses it has stopped. State: one stack per test context, emptied by one
 * hook.
 */

/** The part of a test context that clean-up needs; contexts of tests and suites have it. */
export interface TestScope {
  after(fn: () => void | Promise<void>): void;
}

type Undo = () => void | Promise<void>;

const stacks = new WeakMap<TestScope, Undo[]>();

/** Runs `undo` after the test, before everything that was registered earlier. */
export function cleanUp(t: TestScope, undo: Undo): void {
  let stack = stacks.get(t);
  if (stack === undefined) {
    stack = [];
    stacks.set(t, stack);
    const own = stack;
    t.after(() => unwind(own));
  }
  stack.push(undo);
}

/** All of them run even when one fails; the first failure is reported. */
async function unwind(stack: Undo[]): Promise<void> {
  const failures: unknown[] = [];
  for (let undo = stack.pop(); undo !== undefined; undo = stack.pop()) {
    try {
      await undo();
    } catch (error) {
      failures.push(error);
    }
  }
  if (failures.length > 0) {
    throw failures[0];
  }
}
