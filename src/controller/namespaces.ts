import { scrypt, timingSafeEqual } from 'node:crypto';
import { promisify } from 'node:util';
import { fistpath } from '#proto';
import { RequestError } from '../records/errors.ts';
import { revise } from '../records/revise.ts';
import type { Context } from './context.ts';
import { ADMIN } from './references.ts';

const HASH_BYTES = 32;
const SALT_BYTES = 16;
/** Name of the key that the configuration gives to namespace `system`. */
const BOOTSTRAP = 'bootstrap';

const derive = promisify<string, Uint8Array, number, Buffer>(scrypt);

/** Namespaces (tenants) and their keys, of which only scrypt hashes are kept. */
export class Namespaces {
  readonly #context: Context;
  /** Compared with when there is no such namespace or key, so that the answer takes as long. */
  readonly #nobody: fistpath.IKey;

  constructor(context: Context) {
    this.#context = context;
    this.#nobody = fistpath.Key.create({
      salt: context.chance.bytes(SALT_BYTES),
      hash: context.chance.bytes(HASH_BYTES),
    });
  }

  /** Creates namespace `system`, or gives it the configured key when that has changed. */
  async bootstrap(key: string): Promise<void> {
    const { cache, chance, writer } = this.#context;
    const known = cache.get('namespace', ADMIN);
    const present = known?.keys[BOOTSTRAP];
    if (present && (await fits(key, present))) return;
    const salt = chance.bytes(SALT_BYTES);
    const hash = await derive(key, salt, HASH_BYTES);
    await writer.run((draft) => {
      const before = cache.get('namespace', ADMIN) ?? fistpath.Namespace.create({ name: ADMIN });
      const keys = { ...before.keys, [BOOTSTRAP]: fistpath.Key.create({ salt, hash }) };
      draft.put('namespace', ADMIN, revise('namespace', before, { state: fistpath.State.CREATED, keys }));
    });
  }

  async authenticate(namespace: string, key: string): Promise<void> {
    const keys = Object.values(this.#live(namespace)?.keys ?? {});
    let found = false;
    for (const candidate of keys.length > 0 ? keys : [this.#nobody]) {
      if (await fits(key, candidate)) found = true;
    }
    if (!found) throw new RequestError('unauthorized', 'unknown namespace or wrong key');
  }

  exists(namespace: string): boolean {
    return this.#live(namespace) !== undefined;
  }

  #live(name: string): fistpath.Namespace | undefined {
    const namespace = this.#context.cache.get('namespace', name);
    return namespace?.state === fistpath.State.CREATED ? namespace : undefined;
  }
}

async function fits(key: string, { salt, hash }: fistpath.IKey): Promise<boolean> {
  return timingSafeEqual(await derive(key, salt!, HASH_BYTES), hash!);
}
