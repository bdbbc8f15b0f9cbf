// How a request's body becomes arguments.
import type { FastifyInstance } from 'fastify';
import { RequestError } from '../records/errors.ts';

/**
 * Takes JSON in the body of every method, GET and DELETE included, whatever the Content-Type says: clients of 2020
 * send the four bytes `null` without one. An empty body and `null` mean "no arguments". Keys that would reach an
 * object's prototype are refused.
 */
export function acceptJsonBodies(app: FastifyInstance): void {
  app.addHttpMethod('GET', { hasBody: true, overrideExisting: true });
  app.removeAllContentTypeParsers();
  const parse = app.getDefaultJsonParser('error', 'error');
  const decoder = new TextDecoder('utf-8', { fatal: true });
  app.addContentTypeParser<Buffer>('*', { parseAs: 'buffer' }, (request, body, done) => {
    let text: string;
    try {
      text = decoder.decode(body);
    } catch {
      done(new RequestError('malformed', 'the body is not valid UTF-8'));
      return;
    }
    if (text.trim() === '') {
      done(null, null);
      return;
    }
    void parse(request, text, (error, value) => {
      if (error === null) done(null, value);
      else done(new RequestError('malformed', `the body is not valid JSON, or has a forbidden key`));
    });
  });
  // No body, an empty one and `null`.
  app.addHook('preValidation', (request, _reply, done) => {
    request.body ??= {};
    done();
  });
}
