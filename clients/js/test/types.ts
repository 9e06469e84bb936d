// Checked by `tsc`, never run: the types fit what programs write.
import { CallError, Client, Port, RefusedError, type Change, type Reason, type Status, type Value } from "../src/index.js";

export async function program(signal: AbortSignal): Promise<void> {
  await using client = new Client("ws://127.0.0.1:1/", { token: "token", queueLimit: 1000 });
  await client.connected;
  const port: Port = await client.open({ signal });
  client.send(port.id, "x", 1, null, { a: [true] });
  const answer: Value[] = await client.call(port.id, ["x"], { timeout: 1000, signal });
  const withdraw: () => void = client.monitor(port.id, (reason: Reason) => void reason.length);
  withdraw();
  for await (const message of port) port.close(...message, ...answer);
  for await (const change of client.watch("family", { signal })) use(change);
  for await (const status of client.status()) tell(status);
  // @ts-expect-error functions cannot be sent
  client.send(port.id, () => {});
  // @ts-expect-error a token is needed
  new Client("ws://127.0.0.1:1/", {});
}

function use({ added, changed, deleted, content }: Change): void {
  void [added["x"], changed["x"], deleted[0]?.length, content["x"]];
}

function tell(status: Status): string {
  return status.type === "connected" ? status.node : status.type === "refused" ? status.code : "";
}

export const codeOf = (error: unknown): string | Reason =>
  error instanceof RefusedError ? error.code : error instanceof CallError ? error.reason : "";
