import { RequestError } from '../records/errors.ts';
import { revise } from '../records/revise.ts';
import { checkMetadataKey } from '../records/text.ts';
import type { Context } from './context.ts';
import type { Caller, ObjectType } from './operations.ts';
import { find, findInterface, findNode, mayActIn, mustBeAdmin } from './references.ts';

/** Entries per object, and characters per value. */
const MOST_ENTRIES = 256;
const LONGEST_VALUE = 65_536;

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
    if (value.length > LONGEST_VALUE) {
      throw new RequestError(
        'malformed',
        `the value of metadata ${key} is longer than ${LONGEST_VALUE} characters`,
      );
    }
    await this.#change(caller, type, reference, (metadata) => {
      if (!Object.hasOwn(metadata, key) && Object.keys(metadata).length >= MOST_ENTRIES) {
        throw new RequestError(
          'no-capacity',
          `${type} ${reference} has ${MOST_ENTRIES} entries of metadata already`,
        );
      }
      return { ...metadata, [key]: value };
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
