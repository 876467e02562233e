import { app } from "../../scripts/app.js"

// Graphs saved before Perception→CLIP Projection had this widget steered all tokens. A new node steers the end of the
// text.
const WHERE = "where"

app.registerExtension({
  name: "perceptionclip.saved_graphs",
  beforeRegisterNodeDef(nodeType, nodeData) {
    if (nodeData.name !== "PerceptionClip_Projection") return
    const configured = nodeType.prototype.onConfigure
    nodeType.prototype.onConfigure = function (saved) {
      configured?.apply(this, arguments)
      const index = this.widgets.findIndex((widget) => widget.name === WHERE)
      if (saved.widgets_values?.length <= index) this.widgets[index].value = "all"
    }
  },
})
