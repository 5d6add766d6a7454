/** The route table: what is asked, what is answered, and who may ask. `/openapi.json` and the client both come from it. */
import { z } from "zod";
import { artifactRoutes } from "./artifacts.ts";
import { App, AppPage, CreateDeployment, Deployment } from "./apps.ts";
import {
  AttemptPage,
  BatchId,
  Call,
  CallId,
  CallPage,
  CallState,
  CreateCalls,
  CreatedCalls,
  EventPage,
  LogPage,
} from "./calls.ts";
import { fleetRoutes } from "./fleet_routes.ts";
import { imageRoutes } from "./images.ts";
import { Container, ContainerLogPage, ContainerPage, Health, Schedule, SchedulePage } from "./nodes.ts";
import { CallableName, Name, Page } from "./primitives.ts";
import { type Route, route } from "./route.ts";
import { scalingRoutes } from "./scaling.ts";
import { secretRoutes } from "./secrets.ts";
import { CreatedValue, CreateValue } from "./values.ts";
import { volumeRoutes } from "./volumes.ts";
import { workspaceRoutes } from "./workspaces.ts";

const ById = z.object({ id: CallId });
const ByContainer = z.object({ id: z.string().min(1).max(64) });

export const routes = {
  health: route("GET", "/healthz", null, "Is the platform well", z.object({}), Health),
  createDeployment: route(
    "POST",
    "/v1/apps/:app/deployments",
    "deploy",
    "Deploy a bundle",
    CreateDeployment,
    Deployment,
    201,
  ),
  listApps: route("GET", "/v1/apps", "read", "List apps", Page, AppPage),
  getApp: route("GET", "/v1/apps/:app", "read", "One app", z.object({ app: Name }), App),
  deleteApp: route(
    "DELETE",
    "/v1/apps/:app",
    "deploy",
    "Remove an app: its calls are cancelled, its containers stopped",
    z.object({ app: Name }),
    z.object({ app: Name, cancelledCalls: z.number().int() }),
  ),
  createCalls: route(
    "POST",
    "/v1/apps/:app/functions/:function/calls",
    "invoke",
    "Call a function with one input or many",
    CreateCalls,
    CreatedCalls,
    202,
  ),
  listCalls: route(
    "GET",
    "/v1/calls",
    "read",
    "List calls, newest first",
    Page.extend({
      app: Name.optional(),
      function: CallableName.optional(),
      state: CallState.optional(),
      /** `key` or `key:value`. */
      tag: z.string().max(260).optional(),
    }),
    CallPage,
  ),
  getCall: route("GET", "/v1/calls/:id", "read", "One call", ById, Call),
  listAttempts: route(
    "GET",
    "/v1/calls/:id/attempts",
    "read",
    "Attempts of a call",
    ById.extend(Page.shape),
    AttemptPage,
  ),
  listLogs: route(
    "GET",
    "/v1/calls/:id/logs",
    "read",
    "Log lines of a call",
    ById.extend(Page.shape),
    LogPage,
  ),
  listEvents: route(
    "GET",
    "/v1/calls/:id/events",
    "read",
    "Events of a call",
    ById.extend(Page.shape),
    EventPage,
  ),
  cancelCall: route("POST", "/v1/calls/:id/cancel", "invoke", "Cancel a call", ById, Call),
  cancelBatch: route(
    "POST",
    "/v1/batches/:batch/cancel",
    "invoke",
    "Cancel what has not ended of a batch",
    z.object({ batch: BatchId }),
    z.object({ batch: BatchId, cancelled: z.number().int() }),
  ),
  listContainers: route(
    "GET",
    "/v1/containers",
    "read",
    "Containers that run or ran of late, newest first",
    Page.extend({
      app: Name.optional(),
      function: Name.optional(),
      live: z.stringbool().optional(),
      /** Those that run, and those that failed and are kept. */
      present: z.stringbool().optional(),
    }),
    ContainerPage,
  ),
  createValue: route(
    "POST",
    "/v1/values",
    "invoke",
    'Say how large an input is, learn where to upload it; as `{"$blob": id}` it may then be an input',
    CreateValue,
    CreatedValue,
    201,
  ),
  getContainer: route("GET", "/v1/containers/:id", "read", "One container", ByContainer, Container),
  deleteContainer: route(
    "DELETE",
    "/v1/containers/:id",
    "deploy",
    "Remove what is kept of a container that failed",
    ByContainer,
    Container,
  ),
  listContainerLogs: route(
    "GET",
    "/v1/containers/:id/logs",
    "read",
    "What a server or endpoint printed, of the last lines that are kept",
    ByContainer.extend(Page.shape),
    ContainerLogPage,
  ),
  ...fleetRoutes,
  ...scalingRoutes,
  ...secretRoutes,
  ...workspaceRoutes,
  ...artifactRoutes,
  ...imageRoutes,
  ...volumeRoutes,
  listSchedules: route(
    "GET",
    "/v1/schedules",
    "read",
    "Schedules",
    Page.extend({ app: Name.optional() }),
    SchedulePage,
  ),
  pauseSchedule: route(
    "POST",
    "/v1/schedules/:id/pause",
    "deploy",
    "Pause a schedule",
    z.object({ id: z.string() }),
    Schedule,
  ),
  resumeSchedule: route(
    "POST",
    "/v1/schedules/:id/resume",
    "deploy",
    "Resume a schedule; missed ticks are not made up",
    z.object({ id: z.string() }),
    Schedule,
  ),
  runSchedule: route(
    "POST",
    "/v1/schedules/:id/run",
    "invoke",
    "Fire a schedule now",
    z.object({ id: z.string() }),
    CreatedCalls,
    202,
  ),
} as const;

export type Routes = typeof routes;
export type Input<R> = R extends Route<infer In, z.ZodType> ? z.output<In> : never;
export type RawInput<R> = R extends Route<infer In, z.ZodType> ? z.input<In> : never;
export type Output<R> = R extends Route<z.ZodType, infer Out> ? z.output<Out> : never;

/**
 * Plain routes, whose bodies are not JSON documents:
 *
 * - `PUT /v1/bundles/{sha256}`: the bytes of a bundle; 201, or 200 when it was there → `{"digest", "size"}`
 * - `GET /v1/batches/{batch}/results?from=0`: newline-delimited {@link ResultLine}s as calls end, until all have
 * - `GET /v1/calls/{id}/logs` and `/events` with `Accept: text/event-stream`: live, one item per event (`id` is its seq,
 *   `Last-Event-ID` resumes), ends with an event `end` whose data is the finished call
 * - `GET /v1/containers/{id}/logs` with `Accept: text/event-stream`: the same for a container; its data is the container
 * - `GET /v1/containers/{id}/exec` as a WebSocket: a command inside a container; see exec.ts
 * - `GET /v1/volumes/{volume}/files` as a WebSocket: files of a volume; see volumes.ts
 * - `* /e/{app}/{endpoint}/{path…}`: endpoints, streamed both ways
 * - `GET /v1/values/{id}` → 307 to the JSON text of an input or result that travelled as `{"$blob": id}`
 * - `GET` and `PUT /v1/blobs/{key…}?expires=&signature=`: what a signed URL leads to, where blobs don't lie on S3
 */
export const STREAM_PATHS = {
  bundle: "/v1/bundles/:digest",
  results: "/v1/batches/:batch/results",
  logs: "/v1/calls/:id/logs",
  events: "/v1/calls/:id/events",
  exec: "/v1/containers/:id/exec",
  containerLogs: "/v1/containers/:id/logs",
  imageLogs: "/v1/images/:image/logs",
  endpoint: "/e/:app/:endpoint/*",
  value: "/v1/values/:id",
  blob: "/v1/blobs/:key{.+}",
} as const;
