import { randomBytes, randomInt, randomUUID } from 'node:crypto';
import { fistpath } from '#proto';
import { RequestError } from '../records/errors.ts';
import type { Netblock } from '../records/netblock.ts';
import type { Cache } from './cache.ts';
import type { Events } from './events.ts';
import type { ObjectType } from './operations.ts';
import type { Writer } from './writer.ts';

/** What tests replace. */
export interface Chance {
  uuid(): string;
  /** 0 to limit - 1. */
  integer(limit: number): number;
  bytes(count: number): Uint8Array;
}

export const realChance: Chance = {
  uuid: () => randomUUID(),
  integer: (limit) => randomInt(limit),
  bytes: (count) => Uint8Array.from(randomBytes(count)),
};

/** The part of pino that the controller uses. */
export interface Log {
  info(detail: object, message: string): void;
  warn(detail: object, message: string): void;
  error(detail: object, message: string): void;
}

/** How many objects there may be: far more than a cluster has, far less than would fill the memory or the disk. */
export interface ObjectLimits {
  networks: number;
  /** Records, those of deleted instances included. */
  instances: number;
}

export const OBJECT_LIMITS: ObjectLimits = { networks: 32_768, instances: 262_144 };

/** What every part of the controller works with. */
export interface Context {
  cache: Cache;
  writer: Writer;
  events: Events;
  /** Seconds since the epoch. */
  clock: () => number;
  chance: Chance;
  log: Log;
  /** The node that this controller runs on: the author of its events. */
  nodeName: string;
  floatingPool: Netblock | undefined;
  /** Of all instances: they are called <name>.<namespace>.<dnsDomain>. */
  dnsDomain: string;
  limits: ObjectLimits;
}

/** Throws RequestError 'no-capacity' when there are so many already. */
export function checkRoom(what: string, count: number, limit: number): void {
  if (count < limit) return;
  throw new RequestError('no-capacity', `there are ${count} ${what}, which is the limit: delete some first`);
}

type EventFields = {
  node?: string;
  phase?: string;
  duration?: number;
  message?: string;
  timestamp?: number;
  type?: string;
  extra?: Record<string, string>;
};

/** An event of now, by this controller, unless the fields say otherwise. */
export function makeEvent(
  context: Context,
  objectType: ObjectType,
  objectUuid: string,
  operation: string,
  fields: EventFields = {},
): fistpath.Event {
  const origin = { timestamp: context.clock(), node: context.nodeName, type: 'mutate' };
  return fistpath.Event.create({ ...origin, objectType, objectUuid, operation, ...fields });
}
