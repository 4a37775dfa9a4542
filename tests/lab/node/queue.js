// A real producer, worker and operator of Bull and BullMQ, every major alike: node queue.js '{"command": …}'
// The options may come in the variable RUNBOOK_LAB_QUEUE instead, where nobody else reads the password.
//
// Common: library (bull3 … bullmq6), port, password, db, prefix, queue. Prints one JSON value, except `work`.
// Bull's API and BullMQ's differ; what differs is in the object `api` below.
"use strict";

const fs = require("fs");
const options = JSON.parse(process.argv[2] || process.env.RUNBOOK_LAB_QUEUE);
const isBull = options.library.startsWith("bull") && !options.library.startsWith("bullmq");
const library = require(options.library);
const connection = {
  host: options.host || "127.0.0.1",
  port: options.port,
  password: options.password || undefined,
  username: options.username || undefined,
  db: options.db || 0,
  maxRetriesPerRequest: null,
};
const prefix = options.prefix || "bull";
const sleep = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

// What a job does: fail as it says until it is healed, take its time, else return.
async function perform(job) {
  const data = job.data || {};
  if (options.log) fs.appendFileSync(options.log, JSON.stringify({ id: job.id, name: job.name, data: data }) + "\n");
  if (data.milliseconds) await sleep(data.milliseconds);
  if (data.fail && !options.healed) throw new Error(data.fail);
  return data.result || "done";
}

function open(name = options.queue) {
  if (isBull) {
    return new library(name, { redis: connection, prefix, settings: options.settings || {} });
  }
  return new library.Queue(name, { connection, prefix });
}

function worker(name = options.queue) {
  const concurrency = options.concurrency || 1;
  if (isBull) {
    const queue = open(name);
    queue.process("*", concurrency, perform);
    return queue;
  }
  const running = new library.Worker(name, perform, {
    connection,
    prefix,
    concurrency,
    lockDuration: options.lockDuration || 30000,
    stalledInterval: options.stalledInterval || 30000,
  });
  running.on("error", (error) => console.error(String(error)));
  return running;
}

const commands = {
  // steps: [{command, queue, …}], one after the other in one process → their answers
  async batch() {
    const common = { ...options };
    const answers = [];
    for (const step of common.steps) {
      for (const name of Object.keys(options)) delete options[name];
      Object.assign(options, common, step);
      const queue = open();
      answers.push(await commands[step.command](queue));
      await queue.close();
    }
    return answers;
  },

  // jobs: [{name, data, opts}], all of them `times` times over → ids, in the same order
  async add(queue) {
    const ids = [];
    const jobs = Array(options.times || 1).fill(options.jobs).flat();
    for (let start = 0; start < jobs.length; start += 1000) {
      const batch = jobs.slice(start, start + 1000);
      const made = await queue.addBulk(
        batch.map((job) => ({ name: job.name || "job", data: job.data || {}, opts: job.opts || {} })),
      );
      ids.push(...made.map((job) => String(job.id)));
    }
    return ids;
  },

  // flow: {name, queueName, data, opts, children: […]} → ids of parent and children (BullMQ only)
  async flow() {
    const producer = new library.FlowProducer({ connection, prefix });
    const made = await producer.add(options.flow);
    await producer.close();
    return { parent: made.job.id, children: made.children.map((child) => child.job.id) };
  },

  // Adds jobs one after the other until the file `stop` is there → how many. `began` is made after the first.
  async produce(queue) {
    let made = 0;
    while (!fs.existsSync(options.stop)) {
      await queue.add("produced", { number: made });
      made += 1;
      if (made === 1 && options.began) fs.writeFileSync(options.began, "");
    }
    return made;
  },

  // Runs a worker until the queue has nothing waiting, prioritized or active any more → the library's counts.
  async drainByWork(queue) {
    const running = worker();
    // states: those to wait for, if other ones than these
    const usual = isBull ? ["waiting", "active"] : ["waiting", "active", ...(supports("prioritized") ? ["prioritized"] : [])];
    const states = options.states || usual;
    const until = Date.now() + (options.timeout || 60000);
    let quiet = 0;
    while (quiet < 3) {
      const counts = isBull ? await queue.getJobCounts() : await queue.getJobCounts(...states);
      const left = states.reduce((sum, state) => sum + (counts[state] || 0), 0);
      quiet = left ? 0 : quiet + 1;
      if (Date.now() > until) throw new Error("still busy: " + JSON.stringify(counts));
      await sleep(50);
    }
    await running.close();
    return counts(queue);
  },

  counts,

  // steps: [{command, queue?, …}], one after the other in one process → their answers
  async several(queue) {
    const answers = [];
    const common = { ...options };
    for (const step of common.steps) {
      for (const name of Object.keys(options)) delete options[name];
      Object.assign(options, common, step);
      const its = step.queue ? open(step.queue) : queue;
      answers.push(await commands[step.command](its));
      if (step.queue) await its.close();
    }
    return answers;
  },

  async pause(queue) {
    await queue.pause();
    return true;
  },

  async resume(queue) {
    await queue.resume();
    return true;
  },

  async isPaused(queue) {
    return queue.isPaused();
  },

  // ids → {id: {state, attemptsMade, failedReason, finishedOn, processedOn, data, name, opts} or null}
  async jobs(queue) {
    const found = {};
    for (const id of options.ids) {
      const job = await queue.getJob(id);
      found[id] = job && {
        state: await job.getState(),
        name: job.name,
        data: job.data,
        opts: job.opts,
        attemptsMade: job.attemptsMade,
        failedReason: job.failedReason,
        finishedOn: job.finishedOn,
        processedOn: job.processedOn,
      };
    }
    return found;
  },

  // The library's own retry of everything that failed, for comparison.
  async retryAll(queue) {
    if (!isBull) {
      await queue.retryJobs({ count: options.count || 1000 });
    } else {
      for (const job of await queue.getFailed()) await job.retry();
    }
    return counts(queue);
  },

  // A line for the log of each of these jobs.
  async log(queue) {
    for (const id of options.ids) await (await queue.getJob(id)).log("hello");
    return true;
  },

  // The library's own ways to empty a queue, for comparison.
  async drain(queue) {
    await (isBull ? queue.empty() : queue.drain(options.delayed || false));
    return counts(queue);
  },

  async obliterate(queue) {
    await queue.obliterate({ force: true });
    return true;
  },

  async scheduler(queue) {
    if (isBull || !queue.upsertJobScheduler) {
      const made = await queue.add(options.name || "scheduled", {}, { repeat: { every: options.every || 3600000 } });
      return String(made.id);
    }
    const made = await queue.upsertJobScheduler(options.name || "scheduled", { every: options.every || 3600000 });
    return String(made.id);
  },
};

function supports(state) {
  return !isBull && !(state === "prioritized" && options.library === "bullmq3");
}

// All states by the library's own names.
async function counts(queue) {
  return queue.getJobCounts();
}

async function main() {
  if (options.command === "work") {
    // queues: several names for one process
    const running = (options.queues || [options.queue]).map((name) => worker(name));
    const end = async () => {
      await Promise.all(running.map((each) => each.close()));
      process.exit(0);
    };
    process.on("SIGINT", end);
    if (!isBull) await Promise.all(running.map((each) => each.waitUntilReady()));
    if (options.ready) fs.writeFileSync(options.ready, "ready");
    return;
  }
  const queue = open();
  const answer = await commands[options.command](queue);
  await queue.close();
  process.stdout.write(JSON.stringify(answer === undefined ? null : answer) + "\n", () => process.exit(0));
}

main().catch((error) => {
  console.error(error.stack || String(error));
  process.exit(1);
});
