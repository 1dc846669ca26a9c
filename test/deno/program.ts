/** @file The program that Deno runs for deno.test.ts: a question a line on standard input, an answer a line back. */
import { createInterface } from 'node:readline';
import { DRAWN_SUITES } from '../support/drawn/suites.ts';
import { createGuest, type Question } from '../support/guest.ts';

const answer = createGuest(DRAWN_SUITES);

for await (const line of createInterface({ input: process.stdin })) {
  // What is written there is deno.test.ts's own.
  const question = JSON.parse(line) as Question;
  const reply = await answer(question).then(
    (value) => ({ value }),
    (error: unknown) => ({ error: error instanceof Error ? (error.stack ?? error.message) : String(error) }),
  );
  process.stdout.write(`${JSON.stringify(reply)}\n`);
}

// The test process is gone; threads of a backend would keep this one.
process.exit();
