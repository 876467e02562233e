import { app } from "../../scripts/app.js"

// Show the pictures of a node with a video input as pictures: nodes drawn by Vue would try to play them as a video.
const NODES = ["PerceptionClip_FacePerceptionVideo"]

app.registerExtension({
  name: "perceptionclip.picture_previews",
  nodeCreated(node) {
    if (NODES.includes(node.comfyClass)) node.previewMediaType = "image"
  },
})
