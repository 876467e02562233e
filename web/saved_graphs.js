import { app } from "../../scripts/app.js"

// A graph that was saved before Perception→CLIP Projection had the widget `where` steered all tokens, and still does.
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
