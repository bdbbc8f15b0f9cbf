// The building blocks of argument schemas: what a name, a reference or a count may be.
// What needs knowledge of records (netblocks, MACs, states) is checked by the controller.
import { type Static, type TSchema, Type } from 'typebox';
import Format from 'typebox/format';
import { isPrintable } from '../records/text.ts';

Format.Set('printable', isPrintable);
/** Text of several lines: anything that UTF-8 can carry, but no NUL. */
Format.Set('text', (text) => !/\p{Cs}/u.test(text) && !text.includes('\0'));

/** The same schema, which also takes null. */
export function nullable<T extends TSchema & { type: string }>(schema: T) {
  return Type.Unsafe<Static<T> | null>({ ...schema, type: [schema.type, 'null'] });
}

/** One line of 1 to 255 characters. */
export function line(description: string, example?: string) {
  return Type.String({
    minLength: 1,
    maxLength: 255,
    format: 'printable',
    description,
    ...(example === undefined ? {} : { examples: [example] }),
  });
}

/** One line that may be empty, for addresses and option words. */
export function word(description: string, example?: string) {
  return Type.String({
    maxLength: 255,
    format: 'printable',
    description,
    ...(example === undefined ? {} : { examples: [example] }),
  });
}

/** Several lines of at most `maxLength` characters. */
export function text(description: string, maxLength: number) {
  return Type.String({ maxLength, format: 'text', description });
}

/** A whole number, or its decimal digits in a string: some clients pass on what was typed. */
export function count(description: string, minimum: number, maximum: number) {
  return Type.Unsafe<number | string | null>({
    type: ['integer', 'string', 'null'],
    minimum,
    maximum,
    pattern: `^[0-9]{1,${String(maximum).length}}$`,
    description,
  });
}

/** What `count` accepted, as a number; null and undefined stay "not given". */
export function toNumber(value: number | string | null | undefined): number | undefined {
  return value === null || value === undefined ? undefined : Number(value);
}

/** Names and string values, as metadata is. */
export const StringMap = Type.Unsafe<Record<string, string>>({
  type: 'object',
  propertyNames: { type: 'string', minLength: 1, maxLength: 255, format: 'printable' },
  additionalProperties: { type: 'string', maxLength: 65536, format: 'text' },
  maxProperties: 1024,
  examples: [{ owner: 'ops' }],
});

/** The arguments of a call, where any other key is refused. */
export function args<T extends Record<string, TSchema>>(properties: T) {
  return Type.Object(properties, { additionalProperties: false });
}

/** Looks an object up in this namespace instead of the caller's own; for `system` only. */
export const InNamespace = Type.Optional(
  nullable(
    line('Look the object up in this namespace. Only `system` may name another than its own.', 'demo'),
  ),
);
