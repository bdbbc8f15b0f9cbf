import { RequestError } from './errors.ts';

/** Control, format, line and paragraph separators, lone surrogates: what would break a log line or a configuration file. */
const UNPRINTABLE = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/u;
const LONGEST = 255;

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
  if (UNPRINTABLE.test(text)) {
    throw new RequestError('malformed', `${what} ${JSON.stringify(text)} has a control character in it`);
  }
  return text;
}

/** Keys of metadata are names, and none that JavaScript objects give a meaning to. */
export function checkMetadataKey(key: string): string {
  checkName('metadata key', key);
  if (key === '__proto__') throw new RequestError('malformed', `metadata key ${key} can't be used`);
  return key;
}
