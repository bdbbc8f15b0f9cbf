import { RequestError } from '../records/errors.ts';
import { revise } from '../records/revise.ts';
import { checkMetadataKey } from '../records/text.ts';
import type { Context } from './context.ts';
import type { Caller, ObjectType } from './operations.ts';
import { find, findInterface, findNode, mayActIn, mustBeAdmin } from './references.ts';

/** Per object: entries, characters per value, and characters of all keys and values. */
const MOST_ENTRIES = 256;
const LONGEST_VALUE = 65_536;
const LONGEST_ALL = 262_144;

/** Throws RequestError unless an object can have this metadata: 'malformed', or 'no-capacity' for too much of it. */
export function checkMetadata(what: string, metadata: Readonly<Record<string, string>>): void {
  const entries = Object.entries(metadata);
  let length = 0;
  for (const [key, value] of entries) {
    checkMetadataKey(key);
    length += key.length + value.length;
    if (value.length <= LONGEST_VALUE) continue;
    const text = `${what}: the value of metadata ${key} is longer than ${LONGEST_VALUE} characters`;
    throw new RequestError('malformed', text);
  }
  if (entries.length > MOST_ENTRIES) {
    throw new RequestError('no-capacity', `${what} can have ${MOST_ENTRIES} entries of metadata, no more`);
  }
  if (length > LONGEST_ALL) {
    const text = `${what}: its metadata would have ${length} characters, more than ${LONGEST_ALL}`;
    throw new RequestError('no-capacity', text);
  }
}

/** Texts that people attach to objects. */
export class Metadata {
  readonly #context: Context;

  constructor(context: Context) {
    this.#context = context;
  }

  /** Id by which events and records know the object; RequestError unless the caller may see it. */
  identify(caller: Caller, type: ObjectType, reference: string): string {
    const context = this.#context;
    switch (type) {
      case 'network':
      case 'instance':
        return find(context, caller, type, reference).uuid;
      case 'interface':
        return findInterface(context, caller, reference).uuid;
      case 'node':
        mustBeAdmin(caller, 'see the nodes');
        return findNode(context, reference).name;
      case 'namespace': {
        const namespace = context.cache.get('namespace', reference);
        if (namespace && mayActIn(context, caller, reference)) return reference;
        throw new RequestError('not-found', `namespace ${JSON.stringify(reference)} is not there`);
      }
    }
  }

  get(caller: Caller, type: ObjectType, reference: string): Record<string, string> {
    return { ...this.#context.cache.get(type, this.identify(caller, type, reference))!.metadata };
  }

  async set(caller: Caller, type: ObjectType, reference: string, key: string, value: string): Promise<void> {
    checkMetadataKey(key);
    await this.#change(caller, type, reference, (metadata) => {
      const after = { ...metadata, [key]: value };
      checkMetadata(`${type} ${reference}`, after);
      return after;
    });
  }

  async delete(caller: Caller, type: ObjectType, reference: string, key: string): Promise<void> {
    await this.#change(caller, type, reference, (metadata) => {
      if (!Object.hasOwn(metadata, key)) {
        throw new RequestError('not-found', `${type} ${reference} has no metadata ${JSON.stringify(key)}`);
      }
      const { [key]: _, ...others } = metadata;
      return others;
    });
  }

  async #change(
    caller: Caller,
    type: ObjectType,
    reference: string,
    change: (metadata: Record<string, string>) => Record<string, string>,
  ): Promise<void> {
    await this.#context.writer.run((draft) => {
      const id = this.identify(caller, type, reference);
      const record = this.#context.cache.get(type, id)!;
      draft.put(type, id, revise(type, record, { metadata: change(record.metadata) }));
    });
  }
}
