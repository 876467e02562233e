import { app } from "../../scripts/app.js"

// Remove the live picture of a training's progress once its result is shown: nodes drawn by Vue would show both.
const NODES = ["PerceptionClip_StarterProjection", "PerceptionClip_TrainProjection"]

// The front end has no public way to do this. Where its store of pictures has another form, both remain.
function removeLivePicture(node) {
  const pinia = document.getElementById("vue-app")?.__vue_app__?.config.globalProperties.$pinia
  const place = node.graph?.isRootGraph === false ? `${node.graph.id}:${node.id}` : String(node.id)
  pinia?._s?.get("nodeOutput")?.revokePreviewsByLocatorId?.(place)
}

app.registerExtension({
  name: "perceptionclip.live_pictures",
  beforeRegisterNodeDef(nodeType, nodeData) {
    if (!NODES.includes(nodeData.name)) return
    const executed = nodeType.prototype.onExecuted
    nodeType.prototype.onExecuted = function (message) {
      executed?.apply(this, arguments)
      if (message.images) removeLivePicture(this)
    }
  },
})
