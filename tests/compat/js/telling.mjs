// What every client program is made of: named cases, each of which returns what it did and what it read back.

const cases = [];

export const GROUPS = "core,basic,time,io,metadata,model,usage,prompt,metrics,trace_context";
export const KEYS = Buffer.from(`${process.env.LANGFUSE_PUBLIC_KEY}:${process.env.LANGFUSE_SECRET_KEY}`).toString("base64");
export const URL = process.env.LANGFUSE_BASE_URL;

/** Make a function a case of the program, under its name. */
export function tellOf(name, run) {
  cases.push([name, run]);
}

/** Run every case, or those named on the command line, and print a line of JSON for each. */
export async function tell() {
  const chosen = process.argv.slice(2);
  for (const [name, run] of cases) {
    if (chosen.length && !chosen.includes(name)) continue;
    let line;
    try {
      line = { case: name, saw: await run() };
    } catch (error) {
      line = { case: name, failed: `${error.stack ?? error} ${JSON.stringify(error.body ?? error.cause ?? null)}` };
    }
    process.stdout.write(`${JSON.stringify(line)}\n`);
  }
}
