import { fistpath } from '#proto';
import { RequestError } from './errors.ts';

const { INITIAL, CREATED, DELETE_WAIT, DELETED, ERROR, MISSING } = fistpath.State;

/** From each state, where an object may go. What is deleted stays deleted. */
const TRANSITIONS: Record<fistpath.State, readonly fistpath.State[]> = {
  [INITIAL]: [CREATED, ERROR, DELETE_WAIT],
  [CREATED]: [ERROR, DELETE_WAIT, MISSING],
  [ERROR]: [CREATED, DELETE_WAIT],
  [DELETE_WAIT]: [DELETED],
  [DELETED]: [],
  [MISSING]: [CREATED],
};

/** The word that people and clients see. */
export function stateName(state: fistpath.State): string {
  return fistpath.State[state].toLowerCase().replace('_', '-');
}

export function mayBecome(from: fistpath.State, to: fistpath.State): boolean {
  return from === to || TRANSITIONS[from].includes(to);
}

/** Throws RequestError 'conflict' naming the object when the transition is refused. */
export function checkTransition(what: string, from: fistpath.State, to: fistpath.State): void {
  if (!mayBecome(from, to)) {
    throw new RequestError('conflict', `${what} is ${stateName(from)} and can't become ${stateName(to)}`);
  }
}

/** Wanted by its owner: neither deleted nor on its way out. */
export function isLive({ state }: { state: fistpath.State }): boolean {
  return state !== DELETE_WAIT && state !== DELETED;
}
