import { RequestError } from './errors.ts';

/** Control, format, line and paragraph separators, lone surrogates: what would break a log line or a configuration file. */
const UNPRINTABLE = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/u;
const LONGEST = 255;

/** Whether a text is one line that shows all that is in it. */
export function isPrintable(text: string): boolean {
  return !UNPRINTABLE.test(text);
}

/** The text in quotes, with what can't be seen spelt out. */
function quote(text: string): string {
  return JSON.stringify(text).replace(
    new RegExp(UNPRINTABLE, 'gu'),
    (character) => `\\u{${character.codePointAt(0)!.toString(16)}}`,
  );
}

/** Checks a name that people gave; `what` is the field, for the message. Returns the name. */
export function checkName(what: string, name: string): string {
  if (name.trim() === '') throw new RequestError('malformed', `${what} is empty`);
  if (name.length > LONGEST)
    throw new RequestError('malformed', `${what} is longer than ${LONGEST} characters`);
  checkPrintable(what, name);
  return name;
}

/** Checks a text that may be empty or long but must be printable. */
export function checkPrintable(what: string, text: string): string {
  if (!isPrintable(text)) {
    throw new RequestError('malformed', `${what} ${quote(text)} has a control or invisible character in it`);
  }
  return text;
}

/** Keys of metadata are names, and none that JavaScript objects give a meaning to. */
export function checkMetadataKey(key: string): string {
  checkName('metadata key', key);
  if (key === '__proto__') throw new RequestError('malformed', `metadata key ${key} can't be used`);
  return key;
}
