/** @file The calotype command. */
import { runProgram } from './command.ts';
import { program } from './program.ts';

process.exitCode = await runProgram(program, process.argv.slice(2));
