import { app } from "../../scripts/app.js"

// Give a new node a size in which its title, labels and texts fit. Nodes of a saved graph have sizes of their own.
const NODES = "PerceptionClip_"
const LEAST_WIDTH = 300 // graph units
const SIZES = {
  CompareExpressions: [440, 0], // its table and its chart
  DatasetInfo: [520, 0],
  DatasetWriter: [400, 340],
  EmotionPrompts: [520, 440],
  InspectProjection: [400, 0],
  StrengthSweep: [400, 440],
  SweepChart: [520, 0],
  TextEncode: [400, 400],
}

app.registerExtension({
  name: "perceptionclip.node_sizes",
  beforeRegisterNodeDef(nodeType, nodeData) {
    if (!nodeData.name.startsWith(NODES)) return
    const [width, height] = SIZES[nodeData.name.slice(NODES.length)] ?? [LEAST_WIDTH, 0]
    const created = nodeType.prototype.onNodeCreated
    nodeType.prototype.onNodeCreated = function () {
      created?.apply(this, arguments)
      this.setSize([Math.max(this.size[0], width), Math.max(this.size[1], height)])
    }
  },
})
