// The Langfuse SDK for JavaScript of before OpenTelemetry: batches of events, and its reads.

import { Langfuse } from "langfuse";
import { tell, tellOf } from "./telling.mjs";

const client = new Langfuse({ baseUrl: process.env.LANGFUSE_BASE_URL, requestTimeout: 60_000 });

tellOf("traced", async () => {
  const trace = client.trace({
    name: "old JS trace", userId: "user-oj", sessionId: "session-oj", input: { q: "世" }, tags: ["old"], release: "r1",
    metadata: { k: "v" }, version: "v1",
  });
  const span = trace.span({ name: "a span", input: { x: 1 }, level: "WARNING", statusMessage: "slow" });
  const call = span.generation({
    name: "a call", model: "gpt-4o-mini", modelParameters: { temperature: 0.1 }, input: [{ role: "user", content: "hi" }],
  });
  call.end({ output: "grüßt 世", usage: { input: 10, output: 5 } });
  span.end({ output: { y: 2 } });
  trace.event({ name: "an event" });
  trace.score({ name: "good", value: 0.5 });
  trace.update({ output: "done" });
  await client.flushAsync();
  return {
    trace_id: trace.id, trace: (await client.fetchTrace(trace.id)).data,
    traces: (await client.fetchTraces({ userId: "user-oj" })).data.map((one) => one.id),
    generations: (await client.fetchObservations({ traceId: trace.id, type: "GENERATION" })).data.map((one) => one.name),
    observation: (await client.fetchObservation(call.id)).data,
    sessions: (await client.fetchSessions()).data.map((one) => one.id),
  };
});

tellOf("prompts", async () => {
  await client.createPrompt({ name: "older js", prompt: "Hello {{name}}", labels: ["production"], config: { a: 1 } });
  const prompt = await client.getPrompt("older js", undefined, { cacheTtlSeconds: 0 });
  const missing = await client.getPrompt("nobody's", undefined, { maxRetries: 0 }).then(() => "found", () => "missing");
  return { compiled: prompt.compile({ name: "Ada" }), version: prompt.version, config: prompt.config, missing };
});

tellOf("dataset_run", async () => {
  await client.createDataset("older js");
  await client.createDatasetItem({ datasetName: "older js", id: "older-js-1", input: { q: 1 }, expectedOutput: "x" });
  const dataset = await client.getDataset("older js");
  for (const item of dataset.items) {
    const trace = client.trace({ name: "a run", input: item.input, output: "x" });
    await item.link(trace, "run 1", { description: "by hand", metadata: { k: "v" } });
  }
  await client.flushAsync();
  const run = await client.getDatasetRun({ datasetName: "older js", runName: "run 1" });
  return { items: dataset.items.map((item) => item.id), run };
});

await tell();
await client.shutdownAsync();
