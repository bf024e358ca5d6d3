//! What a person is to do about a warning of the device's health, by its code, in every language. Those that are as well
//! a refusal or a fault stand in `words.rs`.

use super::language::Language;

/// Families of codes that hold a name of the clinic's own: `sink_hl7`, `sink_hl7_failed`.
const SINK: &str = "sink_";

/// What to do, by the warning's code.
pub(super) fn help(code: &str, language: Language) -> Option<&'static str> {
    let kind = match code.strip_prefix(SINK) {
        Some(name) if name.ends_with("_failed") => "sink_failed",
        Some(name) if name.ends_with("_without") => "sink_without",
        Some(_) => "sink",
        None => code,
    };
    Some(language.of(match kind {
        "sink" => [
            "A receiver takes no answers. Check it and the network.",
            "Un destinataire ne répond pas. Vérifiez-le, et le réseau.",
            "Un receptor no recibe. Revíselo, y también la red.",
            "Mpokeaji hapokei majibu. Mkague, na mtandao pia.",
            "उत्तर नहीं मिल रहे। पाने वाला और नेटवर्क जाँचें।",
        ],
        "sink_failed" => [
            "A receiver refused answers. See why, then send the images again.",
            "Réponses refusées. Voyez pourquoi, puis renvoyez les images.",
            "Respuestas rechazadas. Vea por qué y reenvíe las imágenes.",
            "Majibu yalikataliwa. Angalia sababu, kisha tuma picha tena.",
            "उत्तर लौटाए गए। कारण देखें, फिर छवियाँ फिर से भेजें।",
        ],
        "sink_without" => [
            "Answers arrived without a part. Check the receiver.",
            "Réponses arrivées incomplètes. Vérifiez le destinataire.",
            "Respuestas incompletas. Revise el receptor.",
            "Majibu yamefika bila sehemu. Kagua mpokeaji.",
            "उत्तर अधूरे मिले। पाने वाला जाँचें।",
        ],
        "dicom_unread" => [
            "Images of a unit cannot be read. Send them uncompressed.",
            "Images d'un appareil illisibles. Envoyez-les sans compression.",
            "Imágenes de un equipo ilegibles. Envíelas sin comprimir.",
            "Picha za mashine hazisomeki. Zitume bila kubanwa.",
            "एक मशीन की छवियाँ पढ़ी नहीं जातीं। बिना संपीड़न भेजें।",
        ],
        "dicom" => [
            "Anybody may send images. Name who may.",
            "Tous peuvent envoyer. Nommez qui le peut.",
            "Cualquiera puede enviar. Indique quién puede.",
            "Yeyote anaweza kutuma. Taja anayeruhusiwa.",
            "कोई भी भेज सकता है। बताएँ कौन भेजे।",
        ],
        "images_short" => [
            "Images that receivers need must go soon. Check the receivers.",
            "Des images attendues vont partir. Vérifiez les destinataires.",
            "Se borrarán imágenes pendientes. Revise los receptores.",
            "Picha zinazosubiriwa zitafutwa. Kagua wapokeaji.",
            "ज़रूरी छवियाँ हटने वाली हैं। पाने वाले जाँचें।",
        ],
        "store_full" | "inbox_full" => [
            "Too many images came. Wait, and see who sends so many.",
            "Trop d'images. Attendez, et voyez qui en envoie tant.",
            "Demasiadas imágenes. Espere y vea quién envía tantas.",
            "Picha ni nyingi mno. Subiri, uone nani anatuma.",
            "अधिक छवियाँ आईं। रुकें, देखें कौन भेजता है।",
        ],
        "inbox_held" => [
            "A received image is held. See the log.",
            "Une image reçue est bloquée. Voyez le journal.",
            "Una imagen recibida está retenida. Vea el registro.",
            "Picha iliyopokelewa imekwama. Angalia kumbukumbu.",
            "एक छवि अटकी है। लॉग देखें।",
        ],
        "new_bundle" => [
            "New models were not taken. See why in the log.",
            "Nouveaux modèles refusés. Voyez pourquoi au journal.",
            "Modelos nuevos rechazados. Vea el registro.",
            "Modeli mpya hazikukubaliwa. Angalia kumbukumbu.",
            "नए मॉडल नहीं लिए गए। लॉग में कारण देखें।",
        ],
        "space" => [
            "The card is nearly full. Make room.",
            "La carte est presque pleine. Faites de la place.",
            "La tarjeta está casi llena. Haga espacio.",
            "Kadi imekaribia kujaa. Tengeneza nafasi.",
            "कार्ड लगभग भरा है। जगह बनाएँ।",
        ],
        "memory" => [
            "Memory is short. End other programs.",
            "Mémoire presque pleine. Fermez d'autres programmes.",
            "Poca memoria. Cierre otros programas.",
            "Kumbukumbu ni ndogo. Funga programu nyingine.",
            "मेमोरी कम है। दूसरे प्रोग्राम बंद करें।",
        ],
        "temperature" | "throttling" => [
            "The device is hot or short of power. Cool it, check its supply.",
            "Trop chaud ou alimentation faible. Refroidissez, vérifiez.",
            "Caliente o con poca energía. Enfríelo, revise la fuente.",
            "Kifaa ni moto au umeme ni mdogo. Kipoze, kagua umeme.",
            "उपकरण गर्म है या बिजली कम। ठंडा करें, बिजली जाँचें।",
        ],
        "ports" | "displays" => [
            "A port or display is missing. Plug it in.",
            "Un port ou écran manque. Branchez-le.",
            "Falta un puerto o pantalla. Conéctelo.",
            "Tundu au skrini haipo. Iunganishe.",
            "पोर्ट या स्क्रीन नहीं है। उसे जोड़ें।",
        ],
        "state_away" => [
            "The device's card is gone. Put it back, then start again.",
            "La carte manque. Remettez-la, puis redémarrez.",
            "Falta la tarjeta. Colóquela y reinicie.",
            "Kadi haipo. Irudishe, kisha washa tena.",
            "कार्ड नहीं है। वापस लगाएँ, फिर चालू करें।",
        ],
        code if code.starts_with("journal") => [
            "The record of cases was changed. Tell who looks after the device.",
            "Le registre des cas a changé. Prévenez le responsable.",
            "El registro de casos cambió. Avise al responsable.",
            "Rekodi ya kesi imebadilika. Mwambie msimamizi.",
            "केस का लेखा बदला गया। ज़िम्मेदार को बताएँ।",
        ],
        _ => return None,
    }))
}
