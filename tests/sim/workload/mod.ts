/** All that clients do. */
import { brokenMap, map } from "./many.ts";
import { redeploy } from "./deploy.ts";
import { request } from "./endpoint.ts";
import { cancel, remote, spawn } from "./single.ts";
import type { Task } from "./task.ts";

export const TASKS: readonly Task[] = [remote, spawn, cancel, map, brokenMap, request, redeploy];
