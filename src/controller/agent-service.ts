import { Server, ServerCredentials, type ServerDuplexStream, status } from '@grpc/grpc-js';
import { fistpath } from '#proto';
import type { Agents } from './agents.ts';

type Stream = ServerDuplexStream<fistpath.AgentMessage, fistpath.IControllerMessage>;

/** fistpath.Agents of proto/agent.proto, with the static module's encoders. */
const SERVICE = {
  Connect: {
    path: '/fistpath.Agents/Connect',
    requestStream: true,
    responseStream: true,
    requestSerialize: (message: fistpath.IAgentMessage) =>
      Buffer.from(fistpath.AgentMessage.encode(message).finish()),
    requestDeserialize: (bytes: Buffer) => fistpath.AgentMessage.decode(bytes),
    responseSerialize: (message: fistpath.IControllerMessage) =>
      Buffer.from(fistpath.ControllerMessage.encode(message).finish()),
    responseDeserialize: (bytes: Buffer) => fistpath.ControllerMessage.decode(bytes),
  },
} as const;

/** Adds the service for agents to a server. */
export function addAgentsService(server: Server, agents: Agents): void {
  server.addService(SERVICE, {
    Connect: (stream: Stream) => {
      const connection = agents.connect({
        write: (message) => stream.write(message),
        end: (reason) => stream.emit('error', { code: status.ABORTED, details: reason }),
      });
      stream.on('data', (message: fistpath.AgentMessage) => connection.receive(message));
      stream.on('drain', () => connection.drained());
      stream.on('end', () => stream.end());
      stream.on('cancelled', () => connection.closed());
      stream.on('close', () => connection.closed());
      stream.on('error', () => connection.closed());
    },
  });
}

/**
 * Serves agents on "host:port" (port 0: any). Throws an Error that says why it can't listen there.
 * `credentials` is where TLS comes in.
 */
export async function listenForAgents(
  agents: Agents,
  address: string,
  credentials = ServerCredentials.createInsecure(),
): Promise<{ port: number; close(): Promise<void> }> {
  const server = new Server({
    'grpc.keepalive_time_ms': 5000,
    'grpc.keepalive_timeout_ms': 5000,
    'grpc.http2.min_ping_interval_without_data_ms': 1000,
  });
  addAgentsService(server, agents);
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync(address, credentials, (error, bound) => {
      if (error) reject(new Error(`agents can't be served on ${address}: ${error.message}`));
      else resolve(bound);
    });
  });
  return {
    port,
    async close() {
      server.forceShutdown();
    },
  };
}
