/** All stories, as update.ts found them. */
import broken from "./broken.story" with { type: "text" };
import bulk from "./bulk.story" with { type: "text" };
import deployment from "./deployment.story" with { type: "text" };
import drain from "./drain.story" with { type: "text" };
import drain_full from "./drain_full.story" with { type: "text" };
import drain_max from "./drain_max.story" with { type: "text" };
import fallback from "./fallback.story" with { type: "text" };
import fractions from "./fractions.story" with { type: "text" };
import gang from "./gang.story" with { type: "text" };
import gang_preempts from "./gang_preempts.story" with { type: "text" };
import gang_rank from "./gang_rank.story" with { type: "text" };
import gang_stuck from "./gang_stuck.story" with { type: "text" };
import gpu_health from "./gpu_health.story" with { type: "text" };
import keys from "./keys.story" with { type: "text" };
import limit from "./limit.story" with { type: "text" };
import lost from "./lost.story" with { type: "text" };
import moves from "./moves.story" with { type: "text" };
import moves_busy from "./moves_busy.story" with { type: "text" };
import one_gpu from "./one_gpu.story" with { type: "text" };
import pool from "./pool.story" with { type: "text" };
import pool_fails from "./pool_fails.story" with { type: "text" };
import pool_gang from "./pool_gang.story" with { type: "text" };
import pool_gang_fails from "./pool_gang_fails.story" with { type: "text" };
import port from "./port.story" with { type: "text" };
import preemption from "./preemption.story" with { type: "text" };
import preemption_least from "./preemption_least.story" with { type: "text" };
import preemption_not from "./preemption_not.story" with { type: "text" };
import priority from "./priority.story" with { type: "text" };
import quota from "./quota.story" with { type: "text" };
import quota_drain from "./quota_drain.story" with { type: "text" };
import reasons from "./reasons.story" with { type: "text" };
import secret from "./secret.story" with { type: "text" };
import share from "./share.story" with { type: "text" };
import share_turns from "./share_turns.story" with { type: "text" };
import turns from "./turns.story" with { type: "text" };
import turns_of_one from "./turns_of_one.story" with { type: "text" };
import volume from "./volume.story" with { type: "text" };
import zero from "./zero.story" with { type: "text" };

export const STORIES: Readonly<Record<string, string>> = {
  broken,
  bulk,
  deployment,
  drain,
  drain_full,
  drain_max,
  fallback,
  fractions,
  gang,
  gang_preempts,
  gang_rank,
  gang_stuck,
  gpu_health,
  keys,
  limit,
  lost,
  moves,
  moves_busy,
  one_gpu,
  pool,
  pool_fails,
  pool_gang,
  pool_gang_fails,
  port,
  preemption,
  preemption_least,
  preemption_not,
  priority,
  quota,
  quota_drain,
  reasons,
  secret,
  share,
  share_turns,
  turns,
  turns_of_one,
  volume,
  zero,
};
