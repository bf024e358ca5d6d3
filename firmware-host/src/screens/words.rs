//! Every word that a screen says, in every language that it says it in; exams and classes
//! lie in `names.rs`.
//!
//! One row a phrase, in the order of [`Language::ALL`]. Sentences are short: the smallest
//! panel has room for four lines of twenty letters. What a bundle brings itself (an
//! unknown class, an unknown refusal) is shown as the bundle wrote it.

pub use super::language::Language;
pub use super::names::{class, exam};
use super::{Level, Stage, Use};

/// Phrases that screens are made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs)] // each says what it is
pub enum Word {
    Starting,
    SelfTest,
    Passed,
    Ready,
    SendAnImage,
    Case,
    Waiting,
    Answered,
    NoAnswer,
    OutOfOrder,
    NoRegion,
    OfTheImage,
    Device,
    Models,
    Storage,
    Good,
    CannotBeWritten,
    Others,
    SwitchedOff,
    Years,
    Male,
    Female,
    OtherSex,
}

impl Word {
    /// The phrase.
    pub const fn says(self, language: Language) -> &'static str {
        language.of(match self {
            Self::Starting => [
                "Starting",
                "Démarrage",
                "Iniciando",
                "Inaanza",
                "शुरू हो रहा है",
            ],
            Self::SelfTest => ["Self-test", "Autotest", "Autoprueba", "Kujipima", "स्वयं जाँच"],
            Self::Passed => ["passed", "réussi", "superada", "sawa", "सफल"],
            Self::Ready => ["Ready", "Prêt", "Listo", "Tayari", "तैयार"],
            Self::SendAnImage => [
                "Send an image",
                "Envoyez une image",
                "Envíe una imagen",
                "Tuma picha",
                "छवि भेजें",
            ],
            Self::Case => ["Case", "Cas", "Caso", "Kesi", "केस"],
            Self::Waiting => [
                "Waiting",
                "En attente",
                "En espera",
                "Zinasubiri",
                "प्रतीक्षा",
            ],
            Self::Answered => ["Answered", "Traités", "Atendidos", "Zimejibiwa", "पूर्ण"],
            Self::NoAnswer => [
                "No answer",
                "Sans réponse",
                "Sin respuesta",
                "Hakuna jibu",
                "उत्तर नहीं",
            ],
            Self::OutOfOrder => [
                "Out of order",
                "Hors service",
                "No funciona",
                "Haifanyi kazi",
                "काम नहीं कर रहा",
            ],
            Self::NoRegion => [
                "No region found",
                "Aucune zone trouvée",
                "Ninguna zona hallada",
                "Eneo halikupatikana",
                "कोई क्षेत्र नहीं मिला",
            ],
            Self::OfTheImage => [
                "of the image",
                "de l'image",
                "de la imagen",
                "ya picha",
                "छवि का",
            ],
            Self::Device => ["Device", "Appareil", "Equipo", "Kifaa", "उपकरण"],
            Self::Models => ["Models", "Modèles", "Modelos", "Modeli", "मॉडल"],
            Self::Storage => ["Storage", "Stockage", "Memoria", "Hifadhi", "भंडार"],
            Self::Good => ["good", "bon", "bien", "nzuri", "ठीक"],
            Self::CannotBeWritten => [
                "cannot be written",
                "écriture impossible",
                "no se puede escribir",
                "haiandikiki",
                "लिखा नहीं जा रहा",
            ],
            Self::Others => ["Others", "Autres", "Otras", "Nyingine", "अन्य"],
            Self::SwitchedOff => ["Switched off", "Éteint", "Apagado", "Imezimwa", "बंद"],
            Self::Years => ["years", "ans", "años", "miaka", "वर्ष"],
            Self::Male => ["male", "homme", "hombre", "mwanaume", "पुरुष"],
            Self::Female => ["female", "femme", "mujer", "mwanamke", "महिला"],
            Self::OtherSex => [
                "other sex",
                "autre sexe",
                "otro sexo",
                "jinsia nyingine",
                "अन्य लिंग",
            ],
        })
    }
}

/// The word of a triage level.
pub const fn level(level: Level, language: Language) -> &'static str {
    language.of(match level {
        Level::Routine => ["Routine", "Courant", "Rutina", "Kawaida", "सामान्य"],
        Level::Priority => [
            "Priority",
            "Prioritaire",
            "Prioritario",
            "Kipaumbele",
            "प्राथमिकता",
        ],
        Level::Urgent => ["Urgent", "Urgent", "Urgente", "Dharura", "तत्काल"],
        Level::Review => ["Review", "À revoir", "A revisar", "Ikaguliwe", "समीक्षा"],
    })
}

/// What a triage level asks a person to do.
pub const fn asks(level: Level, language: Language) -> &'static str {
    language.of(match level {
        Level::Routine => [
            "Nothing hurries",
            "Rien ne presse",
            "Sin prisa",
            "Hakuna haraka",
            "कोई जल्दी नहीं",
        ],
        Level::Priority => [
            "To be seen today",
            "À voir aujourd'hui",
            "Ver hoy",
            "Aonwe leo",
            "आज देखें",
        ],
        Level::Urgent => [
            "To be seen now",
            "À voir maintenant",
            "Ver ahora",
            "Aonwe sasa",
            "अभी देखें",
        ],
        Level::Review => [
            "A person decides",
            "À vous de décider",
            "Decide una persona",
            "Mtu aamue",
            "निर्णय आप लें",
        ],
    })
}

/// What the answers may be used for: in full, and for the smallest panel.
pub const fn intended_use(use_: Use, language: Language) -> [&'static str; 2] {
    let (full, short) = match use_ {
        Use::Demonstration => (
            [
                "Demonstration only, not for care",
                "Démonstration, pas pour les soins",
                "Demostración, no para atención",
                "Onyesho tu, si kwa matibabu",
                "केवल प्रदर्शन, इलाज के लिए नहीं",
            ],
            [
                "Demo only, not for care",
                "Démo, hors soins",
                "Demo, no para atención",
                "Onyesho, si matibabu",
                "केवल प्रदर्शन",
            ],
        ),
        Use::Research => (
            [
                "Research only, not for care",
                "Recherche, pas pour les soins",
                "Investigación, no para atención",
                "Utafiti tu, si kwa matibabu",
                "केवल शोध, इलाज के लिए नहीं",
            ],
            [
                "Research, not for care",
                "Recherche, hors soins",
                "Sólo investigación",
                "Utafiti, si matibabu",
                "केवल शोध",
            ],
        ),
    };
    [language.of(full), language.of(short)]
}

/// What the device does in a stage of a case.
pub const fn stage(stage: Stage, language: Language) -> &'static str {
    language.of(match stage {
        Stage::Decode => [
            "Opening the image",
            "Ouverture de l'image",
            "Abriendo la imagen",
            "Inafungua picha",
            "छवि खोल रहा है",
        ],
        Stage::Segment => [
            "Finding the region",
            "Recherche de la zone",
            "Buscando la zona",
            "Inatafuta eneo",
            "क्षेत्र खोज रहा है",
        ],
        Stage::Read => [
            "Reading the region",
            "Lecture de la zone",
            "Leyendo la zona",
            "Inasoma eneo",
            "क्षेत्र पढ़ रहा है",
        ],
        Stage::Answer => [
            "Weighing the answer",
            "Choix de la réponse",
            "Eligiendo respuesta",
            "Inapima jibu",
            "उत्तर तय कर रहा है",
        ],
    })
}

/// The way out of a refusal or a fault, by its code.
pub fn help(code: &str, language: Language) -> Option<&'static str> {
    Some(language.of(match code {
        "not_found" => [
            "Image not found. Send it again.",
            "Image introuvable. Envoyez-la à nouveau.",
            "No se halla la imagen. Envíela otra vez.",
            "Picha haikupatikana. Itume tena.",
            "छवि नहीं मिली। फिर से भेजें।",
        ],
        "not_a_file" => [
            "This is no file. Save the image as a file.",
            "Ce n'est pas un fichier. Enregistrez l'image.",
            "No es un archivo. Guarde la imagen como archivo.",
            "Hii si faili. Hifadhi picha kama faili.",
            "यह फ़ाइल नहीं है। छवि को फ़ाइल में सहेजें।",
        ],
        "image_changed" => [
            "The image was changed. Send it again.",
            "L'image a été changée. Renvoyez-la.",
            "La imagen fue cambiada. Envíela de nuevo.",
            "Picha imebadilishwa. Itume tena.",
            "छवि बदल गई। फिर से भेजें।",
        ],
        "unsupported_format" => [
            "Unknown file type. Export it as PNG, JPEG or TIFF.",
            "Format inconnu. Exportez en PNG, JPEG ou TIFF.",
            "Formato desconocido. Exporte como PNG, JPEG o TIFF.",
            "Aina ya faili haijulikani. Tumia PNG, JPEG au TIFF.",
            "अज्ञात फ़ाइल। PNG, JPEG या TIFF में भेजें।",
        ],
        "unreadable" => [
            "The file is damaged. Export it again.",
            "Fichier endommagé. Exportez-le à nouveau.",
            "El archivo está dañado. Expórtelo otra vez.",
            "Faili imeharibika. Itoe tena.",
            "फ़ाइल ख़राब है। फिर से भेजें।",
        ],
        "too_small" => [
            "The image is too small. Export it in full size.",
            "Image trop petite. Exportez-la en taille réelle.",
            "La imagen es muy pequeña. Expórtela a tamaño real.",
            "Picha ni ndogo mno. Itoe kwa ukubwa kamili.",
            "छवि छोटी है। पूरे आकार में भेजें।",
        ],
        "too_large" => [
            "The image is too large. Export it smaller.",
            "Image trop grande. Exportez-la plus petite.",
            "La imagen es muy grande. Expórtela más pequeña.",
            "Picha ni kubwa mno. Ipunguze.",
            "छवि बड़ी है। छोटी करके भेजें।",
        ],
        "blank" => [
            "The image is empty. Take it again.",
            "Image vide. Refaites le cliché.",
            "La imagen está vacía. Tómela otra vez.",
            "Picha ni tupu. Piga tena.",
            "छवि खाली है। फिर से लें।",
        ],
        "exam_needed" => [
            "Choose the exam, then run the case again.",
            "Choisissez l'examen, puis relancez le cas.",
            "Elija el examen y repita el caso.",
            "Chagua kipimo, kisha rudia kesi.",
            "जाँच चुनें, फिर केस दोहराएँ।",
        ],
        "rotated" => [
            "The image is turned. Send it upright.",
            "Image tournée. Envoyez-la à l'endroit.",
            "La imagen está girada. Envíela derecha.",
            "Picha imegeuzwa. Itume ikiwa wima.",
            "छवि टेढ़ी है। सीधी करके भेजें।",
        ],
        "inverted" => [
            "Black and white are swapped. Export it with bone bright.",
            "Noir et blanc inversés. Exportez avec l'os en clair.",
            "Blanco y negro invertidos. Exporte con hueso claro.",
            "Nyeusi na nyeupe zimebadilishana. Itoe mfupa ukiwa mweupe.",
            "काला और सफ़ेद उलटे हैं। हड्डी सफ़ेद करके भेजें।",
        ],
        "blurred" | "badly_exposed" | "low_contrast" => [
            "The image is too poor to judge. Take it again.",
            "Image de mauvaise qualité. Refaites le cliché.",
            "La imagen es de mala calidad. Tómela otra vez.",
            "Picha si nzuri vya kutosha. Piga tena.",
            "छवि साफ़ नहीं है। फिर से लें।",
        ],
        "border" => [
            "The image is mostly border. Cut the border off.",
            "Trop de bord autour de l'image. Recadrez-la.",
            "La imagen es casi toda borde. Recórtela.",
            "Picha ina ukingo mwingi. Kata ukingo.",
            "छवि में किनारा अधिक है। किनारा काटें।",
        ],
        "coloured" => [
            "This is a photograph. Send the image of the unit itself.",
            "C'est une photo. Envoyez l'image de l'appareil.",
            "Es una foto. Envíe la imagen del equipo.",
            "Hii ni picha ya kawaida. Tuma picha ya mashine yenyewe.",
            "यह फ़ोटो है। मशीन की छवि भेजें।",
        ],
        "wrong_modality" | "wrong_body_part" | "wrong_view" | "wrong_side" | "wrong_kind" => [
            "The image does not fit the exam. Choose another exam.",
            "L'image ne convient pas à l'examen. Changez d'examen.",
            "La imagen no corresponde al examen. Elija otro.",
            "Picha haifai kwa kipimo hiki. Chagua kingine.",
            "छवि इस जाँच की नहीं है। दूसरी जाँच चुनें।",
        ],
        "age" | "sex" => [
            "This exam is not for this patient. A person must look at it.",
            "Cet examen n'est pas pour ce patient. Montrez-le à un soignant.",
            "Este examen no es para este paciente. Debe verlo una persona.",
            "Kipimo hiki si cha mgonjwa huyu. Mtu aangalie.",
            "यह जाँच इस मरीज़ के लिए नहीं है। व्यक्ति को दिखाएँ।",
        ],
        "out_of_distribution" => [
            "Unlike all that this exam knows. A person must look at it.",
            "Image inconnue de cet examen. Montrez-la à un soignant.",
            "Distinta de lo que conoce el examen. Debe verla una persona.",
            "Kipimo hakijui picha kama hii. Mtu aiangalie.",
            "यह जाँच ऐसी छवि नहीं जानती। व्यक्ति को दिखाएँ।",
        ],
        "no_such_frame" => [
            "There is no such frame. Choose another one.",
            "Cette image de la série n'existe pas. Changez de numéro.",
            "No existe ese cuadro. Elija otro.",
            "Fremu hiyo haipo. Chagua nyingine.",
            "यह फ़्रेम नहीं है। दूसरा चुनें।",
        ],
        "several_frames" => [
            "The file holds several pictures. Send them one by one.",
            "Le fichier contient plusieurs images. Envoyez-les une à une.",
            "El archivo tiene varias imágenes. Envíelas una por una.",
            "Faili ina picha kadhaa. Zitume moja moja.",
            "फ़ाइल में कई छवियाँ हैं। एक-एक करके भेजें।",
        ],
        "one_bit" => [
            "Only black and white. Export it with shades of grey.",
            "Noir et blanc seulement. Exportez en niveaux de gris.",
            "Solo blanco y negro. Exporte en escala de grises.",
            "Nyeusi na nyeupe tu. Itoe yenye vivuli vya kijivu.",
            "केवल काला-सफ़ेद। धूसर रंगों के साथ भेजें।",
        ],
        "burned_in" => [
            "Words are burned into the image. Send it without them.",
            "Du texte est incrusté. Envoyez l'image sans texte.",
            "La imagen lleva texto. Envíela sin texto.",
            "Picha ina maandishi ndani. Itume bila maandishi.",
            "छवि में लिखावट है। बिना लिखावट भेजें।",
        ],
        "prompt_outside" => [
            "The marked place lies outside. Mark it again.",
            "Le repère est hors de l'image. Recommencez.",
            "La marca está fuera de la imagen. Márquela otra vez.",
            "Alama iko nje ya picha. Weka tena.",
            "निशान छवि से बाहर है। फिर से लगाएँ।",
        ],
        "budget" => [
            "Not enough memory. End other programs and run it again.",
            "Mémoire insuffisante. Fermez les autres programmes.",
            "Falta memoria. Cierre otros programas y repita.",
            "Kumbukumbu haitoshi. Funga programu nyingine.",
            "मेमोरी कम है। दूसरे प्रोग्राम बंद करें।",
        ],
        "deadline" | "device_fault" | "engine" | "line" | "worker" => [
            "Run the self-test. If it passes, keep the image and report this.",
            "Lancez l'autotest. S'il réussit, gardez l'image et signalez-le.",
            "Haga la autoprueba. Si la supera, guarde la imagen y avise.",
            "Endesha kujipima. Ikifaulu, hifadhi picha na utoe taarifa.",
            "स्वयं जाँच चलाएँ। सफल हो तो छवि रखें और सूचित करें।",
        ],
        "aborted" => [
            "Dropped before it ran. Run the case again.",
            "Annulé avant de commencer. Relancez le cas.",
            "Cancelado antes de empezar. Repita el caso.",
            "Imefutwa kabla ya kuanza. Rudia kesi.",
            "शुरू होने से पहले रद्द। केस दोहराएँ।",
        ],
        "self_test" => [
            "The self-test failed. Do not use this device.",
            "L'autotest a échoué. N'utilisez pas cet appareil.",
            "La autoprueba falló. No use este equipo.",
            "Kujipima kumeshindwa. Usitumie kifaa hiki.",
            "स्वयं जाँच विफल। इस उपकरण का उपयोग न करें।",
        ],
        "clock_unset" => [
            "The clock was never set. Set date and time.",
            "L'horloge n'est pas réglée. Réglez date et heure.",
            "El reloj no está ajustado. Ponga fecha y hora.",
            "Saa haijawekwa. Weka tarehe na saa.",
            "घड़ी सेट नहीं है। तारीख और समय सेट करें।",
        ],
        "folder_away" => [
            "A folder of images is away. Plug it in or mend the network.",
            "Un dossier d'images est absent. Branchez-le ou réparez le réseau.",
            "Falta una carpeta de imágenes. Conéctela o repare la red.",
            "Folda ya picha haipo. Iunganishe au rekebisha mtandao.",
            "छवियों का फ़ोल्डर नहीं मिला। उसे जोड़ें या नेटवर्क जाँचें।",
        ],
        "folder_unreadable" | "folder_unwritable" => [
            "A folder of images is closed to this device. Give it the right.",
            "Un dossier d'images est fermé à l'appareil. Donnez-lui le droit.",
            "Una carpeta de imágenes está cerrada. Dé permiso al equipo.",
            "Folda ya picha imefungwa. Kipe kifaa ruhusa.",
            "छवियों का फ़ोल्डर बंद है। उपकरण को अनुमति दें।",
        ],
        "storage" | "state" | "disk_full" | "journal_unwritable" => [
            "Storage cannot be written. Check the card and its space.",
            "Écriture impossible. Vérifiez la carte et sa place.",
            "No se puede escribir. Revise la tarjeta y su espacio.",
            "Hifadhi haiandikiki. Kagua kadi na nafasi yake.",
            "भंडार में लिखा नहीं जा रहा। कार्ड और जगह जाँचें।",
        ],
        code if code.starts_with("bundle") => [
            "The models cannot be used. Copy them again.",
            "Modèles inutilisables. Copiez-les à nouveau.",
            "No se pueden usar los modelos. Cópielos otra vez.",
            "Modeli hazitumiki. Zinakili tena.",
            "मॉडल काम नहीं कर रहे। फिर से कॉपी करें।",
        ],
        code => return super::warnings::help(code, language),
    }))
}
