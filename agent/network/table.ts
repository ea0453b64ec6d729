/**
 * The host's nftables table as text. It forwards what tasks begin and what was published, and
 * nothing else to a task; hides the tasks' addresses from the outside; and leads published ports to
 * their tasks with the caller's address kept (host.md 20, 26). It stands beside other tables and
 * changes none of them: another table's drop stays a drop.
 */
import { linkPrefix, tableName } from './names.ts'
import type { NetworkPlan } from './plan.ts'

/** A transaction that replaces the whole table; connections that live go on (host.md 23). */
export function formatTable(plan: NetworkPlan): string {
  const name = tableName(plan.hash)
  const links = `"${linkPrefix(plan.hash)}-*"`
  return `${formatTableRemoval(plan.hash)}table inet ${name} {
  map published {
    type inet_proto . inet_service : ipv4_addr . inet_service
${formatElements(plan)}  }

  chain prerouting {
    type nat hook prerouting priority dstnat; policy accept;
    fib daddr type local dnat ip to meta l4proto . th dport map @published
  }

  # From this host to itself; what goes to 127.0.0.1 is the keeper's to pass on.
  chain output {
    type nat hook output priority -100; policy accept;
    ip daddr != 127.0.0.0/8 fib daddr type local dnat ip to meta l4proto . th dport map @published
  }

  # A task that calls a published port may reach itself or a neighbour: answers must come back here.
  chain postrouting {
    type nat hook postrouting priority srcnat; policy accept;
    ip saddr ${plan.pool} oifname ${links} snat ip to ${plan.gateway}
    ip saddr ${plan.pool} masquerade
  }

  # To a task: answers, and what was published. Not its neighbours, not who routes to the pool.
  chain forward {
    type filter hook forward priority filter; policy accept;
    oifname ${links} ct state established,related accept
    oifname ${links} ct status dnat accept
    oifname ${links} drop
  }
}
`
}

/** The table is gone, whether it was there or not. */
export function formatTableRemoval(hash: string): string {
  const name = tableName(hash)
  return `table inet ${name}\ndelete table inet ${name}\n`
}

function formatElements(plan: NetworkPlan): string {
  if (plan.ports.length === 0) return ''
  const elements = plan.ports.map(
    (port) =>
      `      ${port.protocol} . ${port.publishedPort} : ${port.address} . ${port.targetPort}`,
  )
  return `    elements = {\n${elements.join(',\n')}\n    }\n`
}
