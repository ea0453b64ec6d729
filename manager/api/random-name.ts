/**
 * Names for services whose users gave none, in the manner of Docker: `calm_heron`. The list is short
 * on purpose; where every draw is taken, digits follow, so that a free name is always found.
 */
import type { Random } from '../../lib/random.ts'

const QUALITIES =
  'able amber brave bright calm clear clever copper early eager fair fleet gentle golden grand happy honest jolly keen kind level light lively lucky mellow merry mild modest noble patient plain proud quick quiet ready silver simple smooth solid steady still sunny swift tidy true vivid warm wise'.split(
    ' ',
  )
const ANIMALS =
  'badger beaver bison bittern crane curlew dolphin dormouse egret falcon ferret finch gannet gecko grouse hare heron hoopoe ibex ibis jackdaw jay kestrel kite lapwing lark lemur linnet lynx marmot marten merlin newt ocelot oriole osprey otter owl petrel pika plover puffin quail raven robin sable seal shrew siskin stoat stork swallow swift tapir tern thrush toad vole walrus weasel wren yak'.split(
    ' ',
  )
const DRAWS = 16

/** A name that `isTaken` denies. */
export function newRandomName(random: Random, isTaken: (name: string) => boolean): string {
  for (let draw = 0; ; draw++) {
    const words = `${pick(random, QUALITIES)}_${pick(random, ANIMALS)}`
    const name = draw < DRAWS ? words : `${words}${random.integer(2 ** 20)}`
    if (!isTaken(name)) return name
  }
}

function pick(random: Random, words: readonly string[]): string {
  return words[random.integer(words.length)] ?? ''
}
