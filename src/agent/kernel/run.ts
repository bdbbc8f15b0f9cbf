import { type ProcessResult, run } from '../process.ts';

/** Runs a tool to its end; a non-zero exit is a result. Injected, so that tests can count, refuse or cut short. */
export type Run = (command: string, args: readonly string[]) => Promise<ProcessResult>;

export const runTool: Run = (command, args) => run(command, [...args], { mayFail: true });
